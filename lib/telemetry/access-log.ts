/** The access log: one line per request or flow, in the format of the configuration. */
import type { AccessLogConfig } from '../config/index.ts'
import { type LogDestination, openLogDestination } from '../core/index.ts'

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

// Lines are gathered here and handed on some 150 at a time: sonic-boom measures all that it holds with every line it is given
// (15 % of the CPU of a 1 KiB request), and a system call and a thread hop are shared by that many requests.
const BATCH_CHARS = 64 * 1024
const MAX_WRITE = 4 * BATCH_CHARS // one write holds whole lines: two threads' lines never mix
const FLUSH_MS = 1000
const CLOSE_MS = 2000 // a disk that takes longer must not hold up a stop
const MAX_QUEUED = 8 * 1024 * 1024 // beyond it lines are dropped (and counted): a full disk must not fill memory

const quote = (text: string): string => JSON.stringify(text)
/** `000` … `999`: times are put together from small integers, a quarter of what printing a double costs. */
const THREE_DIGITS = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))
function ms(value: number): string {
  if (value < 0) return 'null'
  const micros = Math.round(value * 1000)
  return `${Math.floor(micros / 1000)}.${THREE_DIGITS[micros % 1000]}`
}

let second = 0
let isoSecond = ''
let clfSecond = ''
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Renders the parts of a time that change once a second only then. */
function tick(at: number): void {
  const now = Math.floor(at / 1000)
  if (now === second) return
  second = now
  const iso = new Date(now * 1000).toISOString()
  isoSecond = iso.slice(0, 19)
  clfSecond = `${iso.slice(8, 10)}/${MONTHS[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`
}

const iso = (at: number): string => {
  tick(at)
  return `${isoSecond}.${THREE_DIGITS[at % 1000]}Z`
}

export function jsonLine(r: FlowRecord): string {
  const http =
    r.method === ''
      ? ''
      : `,"method":${quote(r.method)},"host":${quote(r.host)},"target":${quote(r.target)},"version":"${r.version}","userAgent":${quote(r.userAgent)},"status":${r.status}`
  return (
    `{"time":"${iso(r.startedAt)}","id":"${r.id}","protocol":"${r.protocol}","service":"${r.service}","backend":"${r.backendName}",` +
    `"client":"${r.clientAddress}","clientPort":${r.clientPort}${http},"tries":${r.tries},"queueMs":${ms(r.queueMs)},` +
    `"connectMs":${ms(r.connectMs)},"firstByteMs":${ms(r.firstByteMs)},"totalMs":${ms(r.totalMs)},"bytesIn":${r.bytesIn},` +
    `"bytesOut":${r.bytesOut},"endedBy":"${r.endedBy}","reason":"${r.reason}","phase":"${r.phase}"}\n`
  )
}

/** A field of the common formats: quotes, backslashes and what is not printable are escaped as Apache does. */
const clf = (text: string): string =>
  text === ''
    ? '-'
    : text.replace(/["\\]|[^\x20-\x7e]/g, (c) =>
        c === '"' || c === '\\' ? `\\${c}` : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )

/** NCSA common log format; a TCP flow shows as `TCP service`. */
export function commonLine(r: FlowRecord): string {
  tick(r.startedAt)
  const request =
    r.method === '' ? `${r.protocol.toUpperCase()} ${r.service}` : `${clf(r.method)} ${clf(r.target)} HTTP/${r.version}`
  return `${r.clientAddress} - - [${clfSecond}] "${request}" ${r.status === 0 ? '-' : r.status} ${r.bytesOut}`
}

export const combinedLine = (r: FlowRecord): string => `${commonLine(r)} "${clf(r.referer)}" "${clf(r.userAgent)}"\n`

const FORMATS: Record<Exclude<AccessLogConfig['format'], 'off'>, (r: FlowRecord) => string> = {
  json: jsonLine,
  common: (r) => `${commonLine(r)}\n`,
  combined: combinedLine,
}

export class AccessLog {
  readonly #config: AccessLogConfig
  readonly #onProblem: (message: string) => void
  readonly #line: (r: FlowRecord) => string
  readonly #timer: NodeJS.Timeout | null
  /** null: it is off, or could not be opened. */
  #destination: LogDestination | null
  #problem = ''
  #batch = ''
  #closed: Promise<void> | null = null

  /** @param onProblem told once per kind of trouble with the destination (disk full, no permission) */
  constructor(config: AccessLogConfig, onProblem: (message: string) => void) {
    this.#config = config
    this.#onProblem = onProblem
    const on = config.format !== 'off'
    this.#line = config.format === 'off' ? () => '' : FORMATS[config.format]
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
    this.#batch += this.#line(record)
    if (this.#batch.length >= BATCH_CHARS) this.#flush()
  }

  #flush(): void {
    const batch = this.#batch
    if (batch === '') return
    this.#batch = ''
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
