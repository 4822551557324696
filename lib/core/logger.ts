/** The process log: pino, one JSON object a line on stderr, or short coloured lines when stderr is a terminal. */
import { pino } from 'pino'
import { nowMs } from './clock.ts'
import { LogPace } from './log-pace.ts'

export type Logger = pino.Logger
/** pino's destination, which takes bytes when it is opened for them: its types know text only. */
export type LogDestination = Omit<ReturnType<typeof pino.destination>, 'write'> & { write(bytes: Uint8Array): boolean }

const LEVELS: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }
const COLOURS: Record<number, string> = {
  20: '\x1b[2m',
  30: '\x1b[36m',
  40: '\x1b[33m',
  50: '\x1b[31m',
  60: '\x1b[41m',
}

/** `12:03:04 warn  message key=value`, for people who watch a terminal. */
function pretty(line: string): string {
  const { level, time, msg, pid: _pid, hostname: _host, ...rest } = JSON.parse(line) as Record<string, unknown>
  const n = Number(level)
  const extra = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const clock = new Date(Number(time)).toTimeString().slice(0, 8)
  return `\x1b[2m${clock}\x1b[0m ${COLOURS[n] ?? ''}${(LEVELS[n] ?? 'info').padEnd(5)}\x1b[0m ${String(msg ?? '')}\x1b[2m${extra.join('')}\x1b[0m\n`
}

/** Level from `EVENKEEL_LOG` (debug, info, warn, error, silent; default info). */
export const createLogger = (): Logger => pino(options(), { write: writeLogLine })

const options = () => ({ level: process.env['EVENKEEL_LOG'] ?? 'info', base: null })

let stderr: ReturnType<typeof pino.destination> | null = null

/** Writes a line that a logger made, here or in another thread. */
export function writeLogLine(line: string): void {
  if (process.stderr.isTTY) return void process.stderr.write(pretty(line))
  stderr ??= pino.destination({ fd: 2, sync: true })
  stderr.write(line)
}

/**
 * A logger whose lines another thread writes: who reads our stderr too slowly stops that one, and not the caller. More lines
 * than are of use are left out, and that is told.
 */
export function createRelayedLogger(bindings: Record<string, unknown>, send: (line: string) => void): Logger {
  const pace = new LogPace(nowMs)
  const write = (line: string): void => {
    if (!pace.take()) return
    const dropped = pace.dropped()
    send(line)
    if (dropped > 0) log.warn(`${dropped} lines of this thread's log were left out`)
  }
  const log = pino(options(), { write }).child(bindings)
  return log
}

/** A buffered writer of whole lines as bytes, with `reopen()`, for access logs. `target` is a path, or `stdout`. */
export function openLogDestination(
  target: string,
  options: { minLength: number; maxWrite: number; maxLength: number },
): LogDestination {
  const dest = target === 'stdout' ? 1 : target
  return pino.destination({
    dest,
    append: true,
    mkdir: true,
    sync: false,
    contentMode: 'buffer',
    ...options,
  }) as unknown as LogDestination
}
