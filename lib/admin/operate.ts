/** The routes by which operators start, stop and drain: what they ask in the body, and what they are answered. */
import { BalancerError, durationOf } from '../core/index.ts'
import type { Manager, Order, Outcome, Target, Verb } from '../service/index.ts'
import { answerError, answerJson } from './answer.ts'
import { type OperationsView, operationsView } from './operations-view.ts'
import type { Call } from './routes.ts'
import { wishIn } from './wish.ts'

/** What a verb is answered with. */
export interface VerbAnswer extends OperationsView {
  readonly changed: boolean
  readonly refused: boolean
  /** Flows that it cut. */
  readonly cut: number
  /** ISO text; null: it does not drain. */
  readonly deadline: string | null
  /** Why a restart forgets it; null: it is on disk. */
  readonly unsaved: string | null
  /** The exit code of the command. */
  readonly exit: 0 | 5
  /** Of a refusal, for who reads errors only. */
  readonly error?: string
  readonly message?: string
}

interface Wish {
  readonly reason: string
  readonly timeoutMs: number | null
  readonly weight: number | null
}

const MAX_REASON = 500
const MAX_WEIGHT = 256

/** Carries a verb out. */
export async function operate(manager: Manager, call: Call, target: Target, verb: Verb | 'weight'): Promise<void> {
  const { operator } = manager
  const { response } = call
  const wish = wishOf(call, verb)
  if (typeof wish === 'string') return answerError(response, 400, 'bad-request', wish)
  const order: Order = { by: call.by, reason: wish.reason, timeoutMs: wish.timeoutMs }
  let outcome: Outcome
  try {
    outcome =
      verb === 'weight'
        ? await operator.weigh(target, wish.weight ?? 0, order)
        : await operator.run(target, verb, order)
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    manager.log.error({ err: error }, `${verb} failed: ${error.message}`)
    return answerError(response, 500, 'failed', error.message)
  }
  const subject = operator.find(target)
  if (subject === undefined) return
  const { sentence, refused, changed, cut, unsaved } = outcome
  const view = operationsView(subject, operator.overruled(target), Date.now())
  const answer: VerbAnswer = {
    ...view,
    sentence,
    changed,
    refused,
    cut,
    deadline: view.drain?.deadline ?? null,
    unsaved,
    exit: refused ? 5 : 0,
    ...(refused ? { error: 'refused', message: sentence } : {}),
  }
  answerJson(response, refused ? 409 : 200, answer)
}

/** @returns what is asked, or what is wrong with it */
function wishOf(call: Call, verb: Verb | 'weight'): Wish | string {
  const nothing: Wish = { reason: '', timeoutMs: null, weight: null }
  if (call.body === '') return verb === 'weight' ? 'a weight is needed: { "weight": 50 }' : nothing
  const known = verb === 'weight' ? ['reason', 'weight'] : verb === 'drainstop' ? ['reason', 'timeout'] : ['reason']
  const fields = wishIn(call, known)
  if (typeof fields === 'string') return fields
  const { reason = '', timeout, weight } = fields
  if (typeof reason !== 'string' || reason.length > MAX_REASON)
    return `reason is a text of at most ${MAX_REASON} characters`
  const timeoutMs = timeout === undefined ? null : timeoutOf(timeout)
  if (typeof timeoutMs === 'string') return `timeout: ${timeoutMs}`
  if (verb !== 'weight') return { reason, timeoutMs, weight: null }
  if (typeof weight !== 'number' || !Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
    return `weight is a whole number from 0 to ${MAX_WEIGHT}`
  return { reason, timeoutMs, weight }
}

const timeoutOf = (value: unknown): number | string =>
  typeof value === 'string' || typeof value === 'number' ? durationOf(value) : 'expected a duration such as 30s'
