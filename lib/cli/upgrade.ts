/** `evenkeel upgrade`: has a new process come in the place of the running one, and says what came of it. */
import type { UpgradeAnswer } from '../admin/index.ts'
import { durationOf } from '../core/index.ts'
import { type AdminFlags, findAdmin, Refused, tell } from './client.ts'
import { CommandFailure } from './failure.ts'
import { isRestarting } from './restart.ts'

export interface UpgradeFlags extends AdminFlags {
  readonly json?: boolean
  /** For the new process to be ready. */
  readonly timeout: string
  /** A unit of systemd: nothing is done but in a stop of it that its start follows. */
  readonly ifRestarting?: string
}

const SPARE_MS = 30_000 // what comes behind that: the hand-over, and the answer

/** Answers the exit code: 0 the new process serves, 1 it does not and the old one goes on, 5 it was not tried. */
export async function upgrade(flags: UpgradeFlags, file: string): Promise<number> {
  const ms = durationOf(flags.timeout)
  if (typeof ms === 'string') throw new CommandFailure(2, `--timeout: ${ms}`)
  if (flags.ifRestarting !== undefined && !(await isRestarting(flags.ifRestarting))) return 0
  const place = await findAdmin(flags, file)
  const wish = { timeout: flags.timeout }
  const answer = await asked(tell<UpgradeAnswer>(place, '/api/v1/upgrade', wish, ms + SPARE_MS))
  const { sentence, tookMs, exit } = answer
  if (flags.json === true) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else if (exit === 0) process.stdout.write(`${sentence} (${tookMs} ms)\n`)
  else process.stderr.write(`evenkeel: ${sentence}\n`)
  return exit
}

/** What the balancer answers, where it says no too. */
async function asked(answer: Promise<UpgradeAnswer>): Promise<UpgradeAnswer> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof Refused && isAnswer(error.value)) return error.value
    throw error
  }
}

const isAnswer = (value: unknown): value is UpgradeAnswer =>
  typeof value === 'object' && value !== null && 'exit' in value && 'sentence' in value
