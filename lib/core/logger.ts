/** The process log: pino, one JSON object a line on stderr, or short coloured lines when stderr is a terminal. */
import { pino } from 'pino'

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
export function createLogger(bindings: Record<string, unknown> = {}): Logger {
  const level = process.env['EVENKEEL_LOG'] ?? 'info'
  const options = { level, base: null }
  if (!process.stderr.isTTY) return pino(options, pino.destination({ fd: 2, sync: true })).child(bindings)
  return pino(options, { write: (line: string) => process.stderr.write(pretty(line)) }).child(bindings)
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
