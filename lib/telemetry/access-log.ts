/** The access log: one line per request or flow, in the format of the configuration. */
import type { AccessLogConfig } from '../config/index.ts'
import { type LogDestination, openLogDestination } from '../core/index.ts'
import { combinedLine, commonLine, jsonLine, LINE_BYTES, type LineFormat, textOf } from './access-line.ts'
import { LineBuffer } from './line-buffer.ts'

/** Where a flow was when it ended. */
export type Phase = 'handshake' | 'head' | 'queue' | 'connect' | 'request' | 'response' | 'relay' | 'done'

/** What a flow leaves behind. Times in ms; -1: never came to it. Text may come from a client: it is escaped here. */
export interface FlowRecord {
  /** Wall-clock start, ms since the epoch. */
  readonly startedAt: number
  readonly protocol: string
  readonly service: string
  readonly backendName: string
  readonly clientAddress: string
  readonly clientPort: number
  readonly id: string
  readonly method: string
  readonly target: string
  readonly host: string
  readonly version: string
  readonly referer: string
  readonly userAgent: string
  readonly status: number
  /** Of a gRPC call; -1: it is none, or ended without one. */
  readonly grpcStatus: number
  readonly tries: number
  readonly queueMs: number
  readonly connectMs: number
  readonly firstByteMs: number
  readonly totalMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** `client`, `backend`, `us`, or `` for a normal end. */
  readonly endedBy: string
  /** From the closed list of reasons, or ``. */
  readonly reason: string
  readonly phase: Phase
}

// Lines are gathered as bytes and handed on some 250 at a time: a system call and a thread hop are shared by that many requests.
const BATCH_BYTES = 128 * 1024
const MAX_WRITE = 4 * BATCH_BYTES // one write holds whole lines: two threads' lines never mix
const FLUSH_MS = 1000
const CLOSE_MS = 2000 // a disk that takes longer must not hold up a stop
const MAX_QUEUED = 8 * 1024 * 1024 // beyond it lines are dropped (and counted): a full disk must not fill memory

const FORMATS: Record<AccessLogConfig['format'], LineFormat> = {
  json: jsonLine,
  common: commonLine,
  combined: combinedLine,
  off: () => {},
}

export class AccessLog {
  readonly #config: AccessLogConfig
  readonly #onProblem: (message: string) => void
  readonly #line: LineFormat
  readonly #timer: NodeJS.Timeout | null
  /** null: it is off, or could not be opened. */
  #destination: LogDestination | null
  #problem = ''
  readonly #batch: LineBuffer
  #closed: Promise<void> | null = null

  /** @param onProblem told once per kind of trouble with the destination (disk full, no permission) */
  constructor(config: AccessLogConfig, onProblem: (message: string) => void) {
    this.#config = config
    this.#onProblem = onProblem
    const on = config.format !== 'off'
    this.#line = FORMATS[config.format]
    this.#batch = new LineBuffer(on ? BATCH_BYTES : 0)
    this.#destination = on ? this.#open() : null
    this.#timer = on ? setInterval(() => this.#flush(), FLUSH_MS) : null
    this.#timer?.unref()
  }

  #open(): LogDestination {
    const options = { minLength: 0, maxWrite: MAX_WRITE, maxLength: MAX_QUEUED }
    const destination = openLogDestination(this.#config.path, options)
    let opened = false
    destination.on('ready', () => {
      opened = true
    })
    destination.on('error', (error: Error) => {
      this.#tell(error.message)
      // One that never opened throws at the next write: it is given up, and the next lines try a new one.
      if (!opened && this.#destination === destination) this.#destination = null
    })
    destination.on('drop', () => this.#tell('lines are dropped, the destination is too slow or full'))
    return destination
  }

  #tell(what: string): void {
    if (what !== this.#problem) this.#onProblem(`access log ${this.#config.path}: ${what}`)
    this.#problem = what
  }

  write(record: FlowRecord): void {
    if (this.#timer === null || this.#closed !== null) return
    const text = textOf(record)
    if (!this.#batch.fits(LINE_BYTES, text)) this.#flush(LINE_BYTES, text)
    this.#line(this.#batch, record)
  }

  /** Hands on what there is, and makes room for a line of that size. */
  #flush(ascii = 0, chars = 0): void {
    if (this.#batch.length === 0 && ascii === 0) return
    const batch = this.#batch.take(ascii, chars)
    if (batch.length === 0) return
    this.#destination ??= this.#open()
    this.#destination.write(batch)
  }

  /** Opens the file anew, for logrotate. There is nothing to open in stdout. */
  reopen(): void {
    this.#flush()
    if (this.#config.path !== 'stdout' && this.#closed === null) this.#destination?.reopen()
  }

  /** Takes no more lines; resolves when all are with the kernel, or after a while when the destination does not take them. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#flush()
    const destination = this.#destination
    if (destination === null) return
    let expired: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      destination.once('close', resolve)
      destination.once('error', () => resolve())
      expired = setTimeout(resolve, CLOSE_MS)
      destination.end()
    })
    clearTimeout(expired)
  }
}
