/** `evenkeel start`, `stop`, `drainstop`, `suspend`, `resume` and `weight`: asks, and says what came of it. */
import type { VerbAnswer } from '../admin/index.ts'
import { durationOf } from '../core/index.ts'
import { type AdminFlags, type AdminPlace, findAdmin, Refused, tell } from './client.ts'
import { CommandFailure } from './failure.ts'
import { follow } from './follow.ts'
import { explained, type Target, targetOf } from './target.ts'

export interface OperateFlags extends AdminFlags {
  readonly json?: boolean
  readonly reason?: string
  /** How long a drain may last. */
  readonly timeout?: string
  /** true: to the end; else at most so long, or what the user took for the target. */
  readonly wait?: string | true
}

export type Verb = 'start' | 'stop' | 'drainstop' | 'suspend' | 'resume'

/** Answers the exit code. */
export async function operate(
  verb: Verb,
  text: string | undefined,
  flags: OperateFlags,
  file: string,
): Promise<number> {
  const { at, waitMs } = waiting(text, flags.wait)
  const target = targetOf(at)
  if (flags.timeout !== undefined) msOf('--timeout', flags.timeout)
  const place = await findAdmin(flags, file)
  const answer = await change(place, target, verb, { ...reasonOf(flags), ...timeoutOf(flags) })
  const drain = answer.drain
  if (waitMs === null || drain === null || answer.refused) return report(target, answer, flags)
  if (flags.json !== true) report(target, answer, flags)
  return follow({ place, target, id: drain.id, json: flags.json === true, waitMs })
}

export async function weigh(text: string, weight: number, flags: OperateFlags, file: string): Promise<number> {
  const target = targetOf(text)
  if (target.backend === undefined) throw new CommandFailure(2, `${text} is not a backend; write SERVICE/BACKEND`)
  const place = await findAdmin(flags, file)
  return report(target, await change(place, target, 'weight', { weight, ...reasonOf(flags) }), flags)
}

const reasonOf = ({ reason }: OperateFlags): object => (reason === undefined ? {} : { reason })
const timeoutOf = ({ timeout }: OperateFlags): object => (timeout === undefined ? {} : { timeout })

async function change(place: AdminPlace, target: Target, verb: Verb | 'weight', wish: object): Promise<VerbAnswer> {
  try {
    return await tell<VerbAnswer>(place, `/api/v1${target.path}/${verb}`, wish)
  } catch (error) {
    if (error instanceof Refused && isAnswer(error.value)) return error.value
    throw await explained(place, target, error)
  }
}

const isAnswer = (value: unknown): value is VerbAnswer =>
  typeof value === 'object' && value !== null && 'refused' in value && value.refused === true

/** `--wait shop` means the target, though the option takes what follows it. */
function waiting(target: string | undefined, wait: string | true | undefined) {
  if (wait === undefined) return { at: target, waitMs: null }
  if (wait === true) return { at: target, waitMs: Number.POSITIVE_INFINITY }
  if (/^\d/.test(wait)) return { at: target, waitMs: msOf('--wait', wait) }
  if (target !== undefined) throw new CommandFailure(2, `--wait=${wait} is not a duration; write --wait=60s`)
  return { at: wait, waitMs: Number.POSITIVE_INFINITY }
}

function msOf(option: string, text: string): number {
  const ms = durationOf(text)
  if (typeof ms === 'number') return ms
  throw new CommandFailure(2, `${option} ${ms}`)
}

function report({ name }: Target, answer: VerbAnswer, { json }: OperateFlags): number {
  if (json === true) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else if (answer.refused) process.stderr.write(`evenkeel: ${name}: ${answer.sentence}\n`)
  else process.stdout.write(`${name}: ${answer.sentence}\n`)
  if (answer.unsaved !== null)
    process.stderr.write(`evenkeel: it is done, but a restart forgets it: ${answer.unsaved}\n`)
  return answer.exit
}
