/** The routes by which the configuration changes, is shown, and is tried out. */
import type { Problem } from '../config/index.ts'
import type { Plan, ReloadOutcome } from '../service/index.ts'
import { answerError, answerJson, answerText } from './answer.ts'
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

/** What a plan is answered with. */
export interface PlanAnswer {
  /** Of what is in force: a reload with it as `ifHash` does what the plan says, unless the files change. */
  readonly hash: string
  /** null: the configuration is not valid. */
  readonly plan: Plan | null
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
  /** The exit code of the command. */
  readonly exit: 0 | 1 | 2
  readonly error?: string
  readonly message?: string
}

/** A configuration that was in force. */
export interface PastConfigView {
  /** 0: it is in force. */
  readonly back: number
  readonly hash: string
  readonly at: string
  readonly by: string
  readonly files: readonly string[]
}

const EXITS = { applied: 0, failed: 1, invalid: 2, refused: 5 } as const
const STATUSES = { applied: 200, failed: 422, invalid: 422, refused: 409 } as const

const HASH = /^[0-9a-f]{16}$/
const YAML = /^(?:application|text)\/(?:x-)?yaml\b/i // no page sends these types without asking first

export async function reload({ reloads }: AdminContext, call: Call): Promise<void> {
  const wish = wishIn(call, ['ifHash'])
  if (typeof wish === 'string') return bad(call, wish)
  const ifHash = hashIn(wish['ifHash'])
  if (ifHash === undefined) return bad(call, NO_HASH)
  answer(call, await reloads.reload({ by: call.by, ifHash }))
}

export async function rollback({ reloads }: AdminContext, call: Call): Promise<void> {
  const wish = wishIn(call, ['ifHash', 'back'])
  if (typeof wish === 'string') return bad(call, wish)
  const { back = 1 } = wish
  const ifHash = hashIn(wish['ifHash'])
  if (ifHash === undefined) return bad(call, NO_HASH)
  if (typeof back !== 'number' || !Number.isInteger(back) || back < 1)
    return bad(call, 'back is a whole number: 1 is the configuration before this one')
  answer(call, await reloads.rollback(back, { by: call.by, ifHash }))
}

/** The main file as it was read, its secrets aside. */
export function showConfig({ reloads }: AdminContext, { response }: Call): void {
  const [main] = reloads.history[0]?.texts ?? []
  response.setHeader('ETag', `"${reloads.inForce.hash}"`)
  answerText(response, 200, main?.shown ?? '', 'application/yaml; charset=utf-8')
}

export async function putConfig({ reloads }: AdminContext, call: Call): Promise<void> {
  const { request, body, by } = call
  if (!YAML.test(request.headers['content-type'] ?? ''))
    return bad(call, 'the body is YAML: send Content-Type: application/yaml')
  const match = request.headers['if-match']
  const ifHash = match === undefined || match === '*' ? null : hashIn(match.replace(/^"(.*)"$/, '$1'))
  if (ifHash === undefined) return bad(call, 'If-Match is the ETag that the configuration was given with')
  answer(call, await reloads.put(body, { by, ifHash }))
}

export function listConfigs({ reloads }: AdminContext, { response }: Call): void {
  const views = reloads.history.map(({ hash, at, by, texts }, back): PastConfigView => {
    return { back, hash, at: new Date(at).toISOString(), by, files: texts.map(({ path }) => path) }
  })
  answerJson(response, 200, views)
}

/** Of the files, or of the text in the body. */
export async function plan({ reloads }: AdminContext, call: Call): Promise<void> {
  const { request, response, body, query } = call
  if (body !== '' && !YAML.test(request.headers['content-type'] ?? ''))
    return bad(call, 'the body is YAML: send Content-Type: application/yaml')
  const name = query.get('name')
  if (name !== null && !name.startsWith('/'))
    return bad(call, 'name is the absolute path that the text is to be read as')
  const planned = await reloads.plan(body === '' ? null : { text: body, name })
  const { hash } = planned
  if (!planned.ok) {
    const { problems } = planned
    const message = `the configuration is not valid: ${problems[0]?.message ?? ''}`
    const wrong: PlanAnswer = { hash, plan: null, problems, warnings: [], exit: 2, error: 'invalid', message }
    return answerJson(response, 422, wrong)
  }
  const { plan, warnings } = planned
  const exit = plan.refusals.length + plan.obstacles.length > 0 ? 1 : 0
  answerJson(response, 200, { hash, plan, problems: [], warnings, exit } satisfies PlanAnswer)
}

const NO_HASH = 'ifHash is a hash of 16 hexadecimal digits, as the status tells it'

/** null: none is given. undefined: it is none. */
function hashIn(value: unknown): string | null | undefined {
  if (value === undefined) return null
  return typeof value === 'string' && HASH.test(value) ? value : undefined
}

const bad = ({ response }: Call, message: string): void => answerError(response, 400, 'bad-request', message)

function answer({ response }: Call, outcome: ReloadOutcome): void {
  const { result, sentence, at } = outcome
  const refusal = result === 'applied' ? {} : { error: result, message: sentence }
  const view: ReloadAnswer = { ...outcome, at: new Date(at).toISOString(), exit: EXITS[result], ...refusal }
  answerJson(response, STATUSES[result], view)
}
