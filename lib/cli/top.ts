/** `evenkeel top`: a live view of services and backends that fills the terminal; without a terminal, one look. */
import { setTimeout as wait } from 'node:timers/promises'
import type { ServiceView, StatusView } from '../admin/index.ts'
import { type AdminFlags, type AdminPlace, ask, findAdmin } from './client.ts'
import { CommandFailure } from './failure.ts'
import { painter } from './paint.ts'
import { type Look, topLines } from './rates.ts'
import { cut } from './table.ts'

const EVERY_MS = 1000
const MIN_ROWS = 3
const ENTER = '\x1b[?1049h\x1b[?25l' // the alternate screen, without a cursor
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const QUIT = new Set(['q', 'Q', '\x03', '\x1b'])

export async function top(flags: AdminFlags, file: string): Promise<number> {
  const place = await findAdmin(flags, file)
  const { stdout } = process
  if (!stdout.isTTY) {
    const first = await lookAt(place)
    await wait(EVERY_MS) // rates need two looks
    const lines = topLines(first, await lookAt(place), Number.POSITIVE_INFINITY, painter(false))
    stdout.write(`${lines.join('\n')}\n`)
    return 0
  }
  const first = await lookAt(place) // a balancer that is not there is told before the screen is taken
  const ended = new AbortController()
  const end = (): void => ended.abort()
  const onKey = (keys: Buffer): void => {
    if (QUIT.has(keys.toString('latin1'))) end()
  }
  const { stdin } = process
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end)
  if (stdin.isTTY) stdin.setRawMode(true).on('data', onKey).resume()
  stdout.write(ENTER)
  try {
    await show(place, first, ended.signal)
  } finally {
    stdout.write(LEAVE)
    if (stdin.isTTY) stdin.off('data', onKey).setRawMode(false).pause()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, end)
  }
  return 0
}

async function lookAt(place: AdminPlace): Promise<Look> {
  const status = await ask<StatusView>(place, '/api/v1/status')
  const services = await ask<ServiceView[]>(place, '/api/v1/services')
  return { at: performance.now(), status, services }
}

/** Draws each look, and the last one anew when the size of the terminal changes. */
async function show(place: AdminPlace, first: Look, ended: AbortSignal): Promise<void> {
  const { stdout } = process
  const paint = painter(true)
  let before = first
  let now = first
  let problem = ''
  const redraw = (): void => {
    const width = stdout.columns
    const lines = problem === '' ? [] : [paint('red', cut(`${problem}; trying again`, width))]
    draw([...lines, ...topLines(before, now, width, paint)])
  }
  stdout.on('resize', redraw)
  redraw()
  try {
    for (;;) {
      await wait(EVERY_MS, undefined, { signal: ended }).catch(() => {})
      if (ended.aborted) return
      try {
        const next = await lookAt(place)
        before = now
        now = next
        problem = ''
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error
        problem = error.message
      }
      if (ended.aborted) return
      redraw()
    }
  } finally {
    stdout.off('resize', redraw)
  }
}

/** Line by line over what stands there, so that nothing flickers; what does not fit is counted. */
function draw(lines: readonly string[]): void {
  const { stdout } = process
  const rows = Math.max(MIN_ROWS, stdout.rows)
  const fitting =
    lines.length <= rows ? lines : [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} more lines`]
  stdout.write(HOME + fitting.map((line) => `${line}${CLEAR_LINE}`).join('\r\n') + CLEAR_BELOW)
}
