/** What the end-to-end tests share: content that proves itself, certificates, memory of a process, and its log. */
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import type { Teardown } from '../support/backend.ts'
import type { Balancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

export const MIB = 1024 * 1024
const PIECE_BYTES = 256 * 1024
const BLOCK_BYTES = 4096 // each starts with its number, so that a lost, doubled or swapped one changes the hash

/** The first `size` bytes of an endless text that is the same for every call, in pieces of their own memory. */
export function* content(size: number): Generator<Buffer> {
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size - at), 'evenkeel')
    for (let i = 0; i + 8 <= piece.length; i += BLOCK_BYTES) piece.writeDoubleBE(at + i, i)
    yield piece
  }
}

const hashes = new Map<number, string>()

/** SHA-256 of `content(size)`. */
export function hashOfContent(size: number): string {
  let digest = hashes.get(size)
  if (digest === undefined) {
    const hash = createHash('sha256')
    for (const piece of content(size)) hash.update(piece)
    digest = hash.digest('hex')
    hashes.set(size, digest)
  }
  return digest
}

/** Writes `content(size)` as fast as the stream takes it; does not end it, nor wait for its last bytes to leave. */
export async function sendContent(to: Writable, size: number): Promise<void> {
  let flowing = true
  for (const piece of content(size)) {
    if (!flowing) await once(to, 'drain')
    flowing = to.write(piece)
  }
}

/** Hashes what comes, from the call on. */
export class Receipt {
  bytes = 0
  readonly #hash: Hash = createHash('sha256')
  #digest: string | undefined

  constructor(from: Readable) {
    from.on('data', (bytes: Buffer) => {
      this.bytes += bytes.length
      this.#hash.update(bytes)
    })
  }

  get digest(): string {
    this.#digest ??= this.#hash.digest('hex')
    return this.#digest
  }
}

/** Resident memory of a process in bytes. */
export function memoryOf(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1] ?? Number.NaN) * 1024
}

/** Samples the memory of a process; answers how to ask by how much it rose at most since the call. */
export function watchMemory(t: Teardown, pid: number): () => number {
  const before = memoryOf(pid)
  let peak = before
  const sample = (): void => {
    peak = Math.max(peak, memoryOf(pid))
  }
  const timer = setInterval(sample, 10)
  t.teardown(() => clearInterval(timer))
  return () => {
    sample()
    return peak - before
  }
}

/** The value once it has not changed for `still` ms. */
export async function settled(what: string, read: () => number, still = 300): Promise<number> {
  let value = read()
  let since = performance.now()
  return eventually(
    `${what} comes to rest`,
    () => {
      const now = read()
      if (now !== value) since = performance.now()
      value = now
      return performance.now() - since < still ? undefined : { value }
    },
    20_000,
  ).then((rest) => rest.value)
}

export interface TestCertificate {
  /** Beside the configuration, for `BalancerOptions.files`. */
  readonly files: Record<string, string>
  /** For a service's `tls`. */
  readonly tls: object
  /** What a client trusts. */
  readonly ca: string
}

/** A certificate for localhost and 127.0.0.1. */
export async function makeCertificate(): Promise<TestCertificate> {
  const authority = await makeAuthority('evenkeel tests', 2)
  const leaf = await makeLeaf(authority, ['localhost', '127.0.0.1'], 2)
  return {
    files: { 'tls.pem': leaf.cert, 'tls.key': leaf.key },
    tls: { certificates: [{ cert: 'tls.pem', key: 'tls.key' }] },
    ca: authority.cert,
  }
}

export type Line = Record<string, unknown>

/** The process log so far. */
export const logOf = (balancer: Balancer): Line[] =>
  balancer
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Line)

/** `from to cause` of each change of a backend's state so far. */
export const changesOf = (balancer: Balancer, backend: string): string[] =>
  logOf(balancer)
    .filter((line) => line['backend'] === backend && line['to'] !== undefined)
    .map(({ from, to, cause }) => `${from} ${to} ${cause}`)

/** Waits until the backend's last change led to `state`. */
export const untilState = (balancer: Balancer, backend: string, state: string, deadline = 5000): Promise<true> =>
  eventually(
    `${backend} is ${state}`,
    () =>
      logOf(balancer).findLast((line) => line['backend'] === backend && line['to'] !== undefined)?.['to'] === state ||
      undefined,
    deadline,
  )

/** The access log's one line of the client at `port`. */
export const flowOf = (balancer: Balancer, port: number | undefined): Promise<Line> =>
  eventually(`the access-log line of client port ${port}`, async () =>
    (await balancer.accessLog()).find((line) => line['clientPort'] === port),
  )

/** These fields of a line, in the order asked for. */
export const fields = (line: Line, ...names: string[]): unknown[] => names.map((name) => line[name])

/** A backend as the admin API tells it. */
export async function backendOf(balancer: Balancer, service: string, backend: string): Promise<Line> {
  const response = await balancer.get(`/api/v1/services/${service}/backends/${encodeURIComponent(backend)}`)
  return (await response.json()) as Line
}

/** Connections of clients that a service has, as the admin API tells it. */
export async function activeOf(balancer: Balancer, service: string): Promise<number> {
  const { active } = (await (await balancer.get(`/api/v1/services/${service}`)).json()) as { active: number }
  return active
}
