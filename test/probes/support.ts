/** Backends that behave and misbehave, and health configurations, for the tests of probes. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import type { HealthConfig } from '../../lib/config/index.ts'
import { configSchema } from '../../lib/config/schema.ts'
import type { Address } from '../../lib/core/index.ts'
import { createProbe, type Probe, ProbeFailure, type ProbeReason } from '../../lib/probes/index.ts'
import { type DevelopmentCertificate, ensureDevelopmentCertificate } from '../../lib/tls/index.ts'
import { refusedPort } from '../support/backend.ts'

/** A health section with the schema's defaults. */
export function healthOf(options: Record<string, unknown>): HealthConfig {
  const service = {
    listen: ['127.0.0.1:0'],
    protocol: 'tcp',
    health: options,
    backends: ['127.0.0.1:1'],
  }
  const health = configSchema.parse({ version: 1, virtualServices: { s: service } }).virtualServices['s']?.health
  if (health === undefined) throw new Error('the schema dropped the service')
  return health
}

/** The probe that these options ask for. */
export function probeOf(options: Record<string, unknown>): Probe {
  const probe = createProbe(healthOf(options), { service: 's', backend: 'b1' })
  if (probe === null) throw new Error('no probe')
  return probe
}

export type Verdict = 'pass' | ProbeReason

/** Runs one check and reads its verdict. */
export async function verdictOf(t: Test, probe: Probe, target: Address, signal: AbortSignal): Promise<Verdict> {
  const startedAt = performance.now()
  try {
    const { detail } = await probe.check(target, signal)
    t.match(detail, /^.{1,120}$/, 'a pass says what was seen, in one short line')
    return 'pass'
  } catch (error) {
    if (!(error instanceof ProbeFailure)) throw error
    t.match(error.message, /^.{1,120}$/u, 'a failure says what happened, in one short line')
    t.ok(performance.now() - startedAt < 5000, 'a failure is known soon')
    return error.reason
  }
}

/** Acts on one connection. `stream` is what the client talks to, `raw` the TCP socket below. */
export type Behaviour = (stream: Duplex, raw: Socket) => void

export interface TestBackend {
  readonly address: Address
  /** Connections accepted so far. */
  accepted(): number
  /** Server names that clients sent. */
  readonly serverNames: (string | false | null)[]
  /** Resolves when no connection is left. */
  idle(): Promise<void>
}

export async function startBackend(
  t: Test,
  behaviour: Behaviour,
  certificate?: DevelopmentCertificate,
): Promise<TestBackend> {
  const secureContext =
    certificate === undefined
      ? undefined
      : createSecureContext({ cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) })
  const open = new Set<Socket>()
  const serverNames: (string | false | null)[] = []
  let accepted = 0
  const server: Server = createServer((raw) => {
    accepted++
    open.add(raw)
    raw.on('error', () => {})
    raw.once('close', () => {
      open.delete(raw)
      if (open.size === 0) server.emit('idle')
    })
    if (secureContext === undefined) {
      behaviour(raw, raw)
      return
    }
    const stream = new TLSSocket(raw, { isServer: true, secureContext })
    stream.on('error', () => {})
    stream.once('secure', () => serverNames.push(stream.servername ?? false))
    behaviour(stream, raw)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return {
    address: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    accepted: () => accepted,
    serverNames,
    idle: async () => {
      if (open.size > 0) await once(server, 'idle', { signal: AbortSignal.timeout(5000) })
    },
  }
}

/** An address where nothing listens. */
export const refusingAddress = async (): Promise<Address> => ({ host: '127.0.0.1', port: await refusedPort() })

/** A certificate for localhost and 127.0.0.1, and the authority that signed it. */
export const certificateIn = (dir: string): Promise<DevelopmentCertificate> => ensureDevelopmentCertificate(dir)

/** Acts once the client's request head is complete, given as text. */
export const onRequest =
  (act: (stream: Duplex, raw: Socket, head: string) => void): Behaviour =>
  (stream, raw) => {
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      if (text.includes('\r\n\r\n')) return
      text += chunk.toString('latin1')
      if (text.includes('\r\n\r\n')) act(stream, raw, text)
    })
  }

/** Answers each connection's request with these bytes, then closes unless told to stay. */
export const answering = (answer: string | Buffer, then: 'close' | 'stay' = 'close'): Behaviour =>
  onRequest((stream) => {
    if (then === 'close') stream.end(answer)
    else stream.write(answer)
  })
