/** Shows the same question's answer again and again, in place, until a signal. */
import { setTimeout as wait } from 'node:timers/promises'
import { CommandFailure } from './failure.ts'
import { painter } from './paint.ts'
import type { Screen } from './states.ts'
import { cut } from './table.ts'

const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const CLEAR_ALL = '\x1b[2J'

/**
 * Ends with SIGINT or SIGTERM. The first question must be answered; a balancer that goes away later is waited for.
 * @param json one answer a line, for programs
 */
export async function watch(look: () => Promise<Screen>, ms: number, json: boolean): Promise<number> {
  const ended = new AbortController()
  const end = (): void => ended.abort()
  process.once('SIGINT', end)
  process.once('SIGTERM', end)
  const { stdout } = process
  const terminal = stdout.isTTY && !json
  const paint = painter(terminal)
  let shown = false
  try {
    while (!ended.signal.aborted) {
      const screen = await look().catch((error: unknown) => {
        if (!shown || !(error instanceof CommandFailure)) throw error
        return error
      })
      if (ended.signal.aborted) break
      const width = terminal ? stdout.columns : Number.POSITIVE_INFINITY
      if (screen instanceof CommandFailure) {
        if (terminal) redraw([paint('red', cut(screen.message, width)), 'trying again'])
        else process.stderr.write(`evenkeel: ${screen.message}; trying again\n`)
      } else {
        const lines = screen(width, paint)
        if (terminal) {
          if (!shown) stdout.write(CLEAR_ALL)
          redraw(lines)
        } else stdout.write(`${lines.join('\n')}\n${json ? '' : '\n'}`)
        shown = true
      }
      await wait(ms, undefined, { signal: ended.signal }).catch(() => {})
    }
  } finally {
    process.off('SIGINT', end)
    process.off('SIGTERM', end)
  }
  return 0
}

/** Line by line over what stands there, so that nothing flickers; what does not fit is counted. */
function redraw(lines: readonly string[]): void {
  const { stdout } = process
  const room = Math.max(2, stdout.rows - 2) // one for the time, one for the cursor
  const fitting =
    lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`]
  const time = new Date().toTimeString().slice(0, 8)
  stdout.write(HOME + [time, ...fitting].map((line) => `${line}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW)
}
