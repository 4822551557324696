/** Follows a drain to its end: a bar on a terminal, a line every few seconds without. */
import { setTimeout as wait } from 'node:timers/promises'
import type { OperationsView } from '../admin/index.ts'
import type { AdminPlace } from './client.ts'
import { compact } from './durations.ts'
import { cut } from './table.ts'
import { operatedOf, type Target } from './target.ts'

const LOOK_MS = 500
const LINE_MS = 5000
const BAR = 20

export interface FollowOptions {
  readonly place: AdminPlace
  readonly target: Target
  /** Of the drain. */
  readonly id: number
  readonly json: boolean
  /** At most so long. */
  readonly waitMs: number
}

/** How it ended, and the exit code that says so. */
interface Ending {
  readonly exit: 0 | 1 | 4
  readonly sentence: string
}

/** Answers the exit code: 0 every flow ended by itself, 4 some were cut, 1 it did not come to its end. */
export async function follow({ place, target, id, json, waitMs }: FollowOptions): Promise<number> {
  const { stderr } = process
  const until = performance.now() + waitMs
  let nextLine = performance.now() + LINE_MS
  for (;;) {
    const view = await operatedOf(place, target)
    const late = performance.now() >= until
    const ending =
      endOf(view, id) ?? (late ? { exit: 1 as const, sentence: `not waited for any longer: ${view.sentence}` } : null)
    if (ending !== null) {
      if (stderr.isTTY && !json) stderr.write('\r\x1b[K')
      process.stdout.write(
        json ? `${JSON.stringify({ ...view, exit: ending.exit })}\n` : `${target.name}: ${ending.sentence}\n`,
      )
      return ending.exit
    }
    if (!json && stderr.isTTY) stderr.write(`\r${cut(progressBar(view), stderr.columns - 1)}\x1b[K`)
    else if (!json && performance.now() >= nextLine) {
      nextLine += LINE_MS
      stderr.write(`${target.name}: ${progress(view)}\n`)
    }
    await wait(Math.max(1, Math.min(LOOK_MS, until - performance.now())))
  }
}

/** null: it goes on. */
function endOf(view: OperationsView, id: number): Ending | null {
  if (view.drain?.id === id) return null
  const { lastDrain } = view
  if (lastDrain?.id !== id) return { exit: 1, sentence: `${view.sentence}; the drain was overtaken by another one` }
  const cuts = `${lastDrain.cut} ${lastDrain.cut === 1 ? 'flow' : 'flows'} cut`
  switch (lastDrain.by) {
    case 'done':
      return { exit: 0, sentence: 'stopped, every flow has ended by itself' }
    case 'deadline':
      return { exit: 4, sentence: `stopped, ${cuts} at the deadline` }
    case 'stop':
      return { exit: lastDrain.cut > 0 ? 4 : 0, sentence: `stopped, drain cut short, ${cuts}` }
    case 'start':
      return { exit: 1, sentence: 'started again, drain cancelled' }
  }
}

/** `12 of 200 flows left, the oldest 3m12s old, about 40s to go, cut in 4m58s` */
export function progress({ drain, flows }: OperationsView): string {
  if (drain === null) return ''
  // without flows it goes on for bound clients alone
  if (flows === 0) return `0 of ${drain.initial} flows left, bound clients may come back for ${compact(drain.leftMs)}`
  const oldest = drain.oldestMs === null ? '' : `, the oldest ${compact(drain.oldestMs)} old`
  const guess = Date.parse(drain.estimatedEnd) < Date.parse(drain.deadline)
  const togo = Date.parse(drain.estimatedEnd) - (Date.parse(drain.deadline) - drain.leftMs)
  const about = guess ? `, about ${compact(Math.max(0, togo))} to go` : ''
  return `${flows} of ${Math.max(drain.initial, flows)} flows left${oldest}${about}, cut in ${compact(drain.leftMs)}`
}

function progressBar(view: OperationsView): string {
  const { drain, flows } = view
  const share = drain === null || drain.initial === 0 ? 1 : Math.min(1, Math.max(0, 1 - flows / drain.initial))
  const full = Math.round(share * BAR)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${progress(view)}`
}
