/** `evenkeel reload`: has the running balancer take its configuration file into force, and says what came of it. */
import type { ReloadAnswer } from '../admin/index.ts'
import { renderProblems } from '../config/index.ts'
import { type AdminFlags, findAdmin, Refused, tell } from './client.ts'

export interface ReloadFlags extends AdminFlags {
  readonly json?: boolean
  readonly ifHash?: string
}

/** Answers the exit code: 0 it is in force, 1 it can't be brought about, 2 it is not valid, 5 another one is in force. */
export async function reload(flags: ReloadFlags, file: string): Promise<number> {
  const place = await findAdmin(flags, file)
  const { ifHash } = flags
  return report(
    await asked(() => tell<ReloadAnswer>(place, '/api/v1/reload', ifHash === undefined ? {} : { ifHash })),
    flags,
  )
}

/** What the balancer answers, where it says no too. */
export async function asked(ask: () => Promise<ReloadAnswer>): Promise<ReloadAnswer> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Refused && isAnswer(error.value)) return error.value
    throw error
  }
}

const isAnswer = (value: unknown): value is ReloadAnswer =>
  typeof value === 'object' && value !== null && 'exit' in value && 'sentence' in value

export function report(answer: ReloadAnswer, { json }: { readonly json?: boolean }): number {
  const { sentence, problems, tookMs, hash, exit } = answer
  if (json === true) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else if (exit === 0) process.stdout.write(`in force: ${sentence} (${tookMs} ms, ${hash})\n`)
  else if (problems.length === 0) process.stderr.write(`evenkeel: ${sentence}\n`)
  else {
    process.stderr.write(renderProblems(problems, { colour: process.stderr.isTTY }))
    process.stderr.write('nothing has changed\n')
  }
  return exit
}
