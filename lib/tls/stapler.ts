/** Keeps an OCSP answer for each certificate: fetched, verified, refreshed at half of its life, and kept on disk. */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, type Logger, messageOf, request } from '../core/index.ts'
import type { Credentials } from './credentials.ts'
import { writeAtomically } from './files.ts'
import { ocspRequest, readOcsp, responderOf } from './ocsp.ts'

const MAX_ANSWER = 64 * 1024
const FETCH_MS = 10_000
const RETRY_MS = 60_000 // after a failure; doubled with each further one
const RETRY_MAX_MS = 3_600_000
const OWNER_ONLY = 0o600

interface Row {
  readonly leaf: X509Certificate
  readonly issuer: X509Certificate
  readonly url: string
  readonly path: string
  bytes: Buffer | null
  /** Wall-clock milliseconds: when `bytes` are no longer good, and when there may be newer ones. */
  until: number
  dueAt: number
  failures: number
  fetching: boolean
}

export interface StaplerOptions {
  /** Where answers are kept across restarts. */
  readonly folder: string
  readonly clock: Clock
  readonly log: Logger
  /** There is another answer. */
  readonly onChange: () => void
}

export class Stapler {
  readonly #options: StaplerOptions
  /** By fingerprint; null: there is nobody to ask. */
  readonly #rows = new Map<string, Row | null>()
  #stopped = false

  constructor(options: StaplerOptions) {
    this.#options = options
  }

  /** The answer for a certificate; null: there is none that is good. */
  stapleOf({ fingerprint256 }: Credentials): Buffer | null {
    const row = this.#rows.get(fingerprint256) ?? null
    return row !== null && row.until > this.#options.clock.wall() ? row.bytes : null
  }

  stop(): void {
    this.#stopped = true
  }

  /** Begins to fetch what is due, and waits for none of it. The first look at a certificate reads what is on disk. */
  async look(credentials: Credentials): Promise<void> {
    const known = this.#rows.get(credentials.fingerprint256)
    const row = known === undefined ? await this.#begin(credentials) : known
    if (row === null || row.fetching || this.#stopped) return
    const now = this.#options.clock.wall()
    if (row.bytes !== null && row.until <= now) {
      row.bytes = null
      this.#options.onChange()
    }
    if (row.dueAt <= now) void this.#fetch(row)
  }

  async #begin({ cert, fingerprint256 }: Credentials): Promise<Row | null> {
    const { folder, clock } = this.#options
    const [leaf, issuer] = (cert.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
      (pem) => new X509Certificate(pem),
    )
    const url = leaf === undefined ? null : responderOf(leaf)
    if (leaf === undefined || issuer === undefined || url === null) {
      this.#rows.set(fingerprint256, null)
      return null
    }
    const path = join(folder, `${fingerprint256.replaceAll(':', '').toLowerCase()}.der`)
    const row: Row = { leaf, issuer, url, path, bytes: null, until: 0, dueAt: 0, failures: 0, fetching: false }
    this.#rows.set(fingerprint256, row)
    try {
      this.#take(row, await readFile(path), clock.wall())
    } catch {
      // There is none, or it is too old: a new one is fetched.
    }
    return row
  }

  async #fetch(row: Row): Promise<void> {
    const { clock, log } = this.#options
    row.fetching = true
    try {
      const bytes = await post(row.url, ocspRequest(row.leaf, row.issuer))
      this.#take(row, bytes, clock.wall())
      row.failures = 0
      await mkdir(this.#options.folder, { recursive: true, mode: 0o700 })
      await writeAtomically(row.path, bytes, OWNER_ONLY)
    } catch (error) {
      if (row.failures++ === 0)
        log.warn(`OCSP answer of ${row.url} for ${row.leaf.subject.replaceAll('\n', ', ')}: ${messageOf(error)}`)
      if (row.dueAt <= clock.wall())
        row.dueAt = clock.wall() + Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(row.failures - 1, 10))
    } finally {
      row.fetching = false
    }
  }

  /** @throws Error when it is not to be believed, or not to be shown */
  #take(row: Row, bytes: Buffer, now: number): void {
    const { status, thisUpdate, nextUpdate } = readOcsp(bytes, row.leaf, row.issuer, now)
    // Half of its life, and up to a tenth sooner, so that many certificates are not asked about at once.
    row.dueAt = Math.max(now + RETRY_MS, thisUpdate + (nextUpdate - thisUpdate) * (0.5 - 0.1 * Math.random()))
    if (status !== 'good') {
      row.bytes = null
      this.#options.onChange()
      throw new Error(`the certificate is ${status}`)
    }
    row.bytes = bytes
    row.until = nextUpdate
    this.#options.onChange()
  }
}

function post(url: string, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/ocsp-request', 'content-length': body.length }
    const asked = request(url, { method: 'POST', headers, agent: false, signal: AbortSignal.timeout(FETCH_MS) })
    asked.on('error', reject)
    asked.on('response', (answer) => {
      if (answer.statusCode !== 200) {
        asked.destroy(new Error(`HTTP ${answer.statusCode}`))
        return
      }
      const pieces: Buffer[] = []
      let length = 0
      answer.on('data', (piece: Buffer) => {
        length += piece.length
        if (length > MAX_ANSWER) asked.destroy(new Error('the answer is too long'))
        else pieces.push(piece)
      })
      answer.on('error', reject)
      answer.on('end', () => resolve(Buffer.concat(pieces)))
    })
    asked.end(body)
  })
}
