/** The routes by which the configuration changes. */
import type { ReloadOutcome } from '../service/index.ts'
import { answerError, answerJson } from './answer.ts'
import type { AdminContext, Call } from './routes.ts'
import { wishIn } from './wish.ts'

/** What a reload is answered with. */
export interface ReloadAnswer extends Omit<ReloadOutcome, 'at'> {
  readonly at: string
  /** The exit code of the command. */
  readonly exit: 0 | 1 | 2 | 5
  /** Of one that did not come about, for who reads errors only. */
  readonly error?: string
  readonly message?: string
}

const EXITS = { applied: 0, failed: 1, invalid: 2, refused: 5 } as const
const STATUSES = { applied: 200, failed: 422, invalid: 422, refused: 409 } as const

const HASH = /^[0-9a-f]{16}$/

export async function reload({ reloads }: AdminContext, call: Call): Promise<void> {
  const { response, by } = call
  const wish = wishIn(call, ['ifHash'])
  if (typeof wish === 'string') return answerError(response, 400, 'bad-request', wish)
  const { ifHash = null } = wish
  if (ifHash !== null && (typeof ifHash !== 'string' || !HASH.test(ifHash)))
    return answerError(
      response,
      400,
      'bad-request',
      'ifHash is a hash of 16 hexadecimal digits, as the status tells it',
    )
  answerReload(call, await reloads.reload({ by, ifHash }))
}

export function answerReload({ response }: Call, outcome: ReloadOutcome): void {
  const { result, sentence, at } = outcome
  const refusal = result === 'applied' ? {} : { error: result, message: sentence }
  const answer: ReloadAnswer = { ...outcome, at: new Date(at).toISOString(), exit: EXITS[result], ...refusal }
  answerJson(response, STATUSES[result], answer)
}
