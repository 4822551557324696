/** The route by which another process comes in this one's place. */
import { durationOf } from '../core/index.ts'
import { answerError, answerJson } from './answer.ts'
import type { AdminContext, Call } from './routes.ts'
import { wishIn } from './wish.ts'

export interface UpgradeWish {
  /** Who wants it. */
  readonly by: string
  /** For the other process to be ready. */
  readonly timeoutMs: number
  /** Who wants it does so no longer. */
  readonly signal: AbortSignal
}

export interface UpgradeOutcome {
  /** refused: it was not tried. failed: this process goes on as it was. */
  readonly result: 'done' | 'failed' | 'refused'
  readonly sentence: string
  /** ms since the epoch. */
  readonly at: number
  readonly by: string
  readonly tookMs: number
  /** Of the other process; null: it does not serve. */
  readonly pid: number | null
  readonly version: string | null
}

/** What the listener asks and tells of processes that come one in the other's place. */
export interface Succession {
  /** Nothing may be changed here: it would be lost. */
  readonly underWay: boolean
  /** The last upgrade that did not come about; null: there was none. */
  readonly last: UpgradeOutcome | null
  /** The process in whose place this one is, as long as it has connections. */
  readonly before: { readonly pid: number; readonly flows: number; readonly deadline: number } | null
  /** Never rejects. */
  upgrade(wish: UpgradeWish): Promise<UpgradeOutcome>
}

/** What an upgrade is answered with. */
export interface UpgradeAnswer extends Omit<UpgradeOutcome, 'at'> {
  readonly at: string
  /** The exit code of the command. */
  readonly exit: 0 | 1 | 5
  /** Of one that did not come about, for who reads errors only. */
  readonly error?: string
  readonly message?: string
}

export const UPGRADE_PATH = '/api/v1/upgrade'

const READY_MS = 60_000
const SPARE_MS = 60_000 // what comes behind that: the hand-over, and the answer
const EXITS = { done: 0, failed: 1, refused: 5 } as const
const STATUSES = { done: 200, failed: 422, refused: 409 } as const

/** A client that goes away takes the wish with it. */
export async function upgrade({ succession }: AdminContext, call: Call): Promise<void> {
  const { request, response, by } = call
  const timeoutMs = timeoutIn(call)
  if (typeof timeoutMs === 'string') return answerError(response, 400, 'bad-request', timeoutMs)
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  request.socket.setTimeout(timeoutMs + SPARE_MS)
  const outcome = await succession.upgrade({ by, timeoutMs, signal: gone.signal })
  const { result, sentence, at } = outcome
  const refusal = result === 'done' ? {} : { error: result, message: sentence }
  const answer: UpgradeAnswer = { ...outcome, at: new Date(at).toISOString(), exit: EXITS[result], ...refusal }
  response.setHeader('Connection', 'close') // the next question is the other process's
  answerJson(response, STATUSES[result], answer)
}

function timeoutIn(call: Call): number | string {
  const wish = wishIn(call, ['timeout'])
  if (typeof wish === 'string') return wish
  const { timeout } = wish
  if (timeout === undefined) return READY_MS
  const ms = typeof timeout === 'string' ? durationOf(timeout) : 'it is a text, such as "90s"'
  return typeof ms === 'string' ? `timeout: ${ms}` : ms > 0 ? ms : 'timeout: it is above 0'
}
