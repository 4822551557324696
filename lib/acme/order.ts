/** One order from its beginning, or from where it was left, to a certificate that has been looked at (RFC 8555 §7.4 and §7.5). */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type ChallengesView, keyPem, makeKey, signingRequest } from '../tls/index.ts'
import type { Account } from './account.ts'
import { type ChallengeType, prepareChallenge } from './challenge.ts'
import type { OpenOrder, Wanted } from './folder.ts'
import { type Json, listOf, objectOf, textOf, textsOf } from './json.ts'
import { AcmeFailure, sentenceOf, typeOf } from './problem.ts'
import type { AcmeServer, Answer } from './server.ts'

const FIRST_POLL_MS = 500
const MAX_POLL_MS = 10_000
const MAX_ASKED_MS = 60_000 // the longest wait between two looks that an authority may ask for
const ORDER_MS = 600_000 // authorities look within seconds; who needs longer is asked again later
const MAX_NAMES = 100 // authorizations that are followed

export interface OrderTools {
  readonly server: AcmeServer
  readonly account: Account
  readonly challenge: ChallengeType
  /** Wall-clock milliseconds. */
  readonly now: () => number
  /** Rejects when the process is about to end. */
  readonly wait: (ms: number) => Promise<void>
  /** The order is there: what is needed to go on with it after a restart. */
  readonly keep: (order: OpenOrder) => Promise<void>
  /** Every data thread answers with this, once it resolves. null: nothing is to be answered any more. */
  readonly show: (view: ChallengesView | null) => Promise<void>
}

/** Chain and key, in PEM. */
export interface Bundle {
  readonly chain: string
  readonly key: string
}

/** @throws AcmeFailure */
export async function obtain(wanted: Wanted, open: OpenOrder | null, tools: OrderTools): Promise<Bundle> {
  const until = tools.now() + ORDER_MS
  const { account, wait, now } = tools
  let { url, key, answer } = (open === null ? null : await resumed(open, account)) ?? (await begun(wanted, tools))
  for (let n = 0; now() < until; n++) {
    const { json } = answer
    switch (textOf(json, 'status')) {
      case 'pending':
        await authorize(json, wanted, tools, until)
        break
      case 'ready': {
        const csr = signingRequest(createPrivateKey(key), wanted.names).toString('base64url')
        answer = await account.post(textOf(json, 'finalize'), { csr })
        n = 0
        continue
      }
      case 'valid':
        return { chain: await download(textOf(json, 'certificate'), createPrivateKey(key), wanted, tools), key }
      case 'processing':
        await wait(pollMs(n, answer.retryAfterMs))
        break
      default: {
        const problem = objectOf(json, 'error')
        throw new AcmeFailure(sentenceOf(problem) || 'the order has failed', { type: typeOf(problem) })
      }
    }
    answer = await account.post(url, null)
  }
  throw new AcmeFailure(`the authority was not done within ${ORDER_MS / 60_000} minutes`)
}

interface Position extends OpenOrder {
  readonly answer: Answer
}

async function begun({ names, keyType }: Wanted, { server, account, keep }: OrderTools): Promise<Position> {
  const identifiers = names.map((value) => ({ type: 'dns', value }))
  const answer = await account.post(await server.url('newOrder'), { identifiers })
  if (answer.location === '') throw new AcmeFailure('the authority made an order without an address')
  const order = { url: answer.location, key: keyPem(await makeKey(keyType)) }
  await keep(order)
  return { ...order, answer }
}

/** null: it leads nowhere, and another one is needed. */
async function resumed(order: OpenOrder, account: Account): Promise<Position | null> {
  try {
    const answer = await account.post(order.url, null)
    return ['pending', 'ready', 'processing', 'valid'].includes(textOf(answer.json, 'status'))
      ? { ...order, answer }
      : null
  } catch (error) {
    // What the authority does not know any more; a connection that fails is another matter.
    if (error instanceof AcmeFailure && error.final) return null
    throw error
  }
}

interface Task {
  /** Of the authorization. */
  readonly url: string
  readonly name: string
  readonly challenge: Json
  readonly view: ChallengesView
}

async function authorize(order: Json, wanted: Wanted, tools: OrderTools, until: number): Promise<void> {
  const tasks: Task[] = []
  for (const url of textsOf(order, 'authorizations').slice(0, MAX_NAMES)) {
    const task = await taskOf(url, wanted, tools)
    if (task !== null) tasks.push(task)
  }
  if (tasks.length === 0) return tools.wait(FIRST_POLL_MS) // all are there already: the order is about to be ready
  const { account } = tools
  try {
    await tools.show({ http: tasks.flatMap(({ view }) => view.http), alpn: tasks.flatMap(({ view }) => view.alpn) })
    for (const { challenge } of tasks)
      if (textOf(challenge, 'status') === 'pending') await account.post(textOf(challenge, 'url'), {})
    for (const task of tasks) await untilValid(task, tools, until)
  } finally {
    await tools.show(null)
  }
}

/** null: it is done already. */
async function taskOf(url: string, { names }: Wanted, { account, challenge: type }: OrderTools): Promise<Task | null> {
  const { json } = await account.post(url, null)
  const name = textOf(objectOf(json, 'identifier'), 'value').toLowerCase()
  const status = textOf(json, 'status')
  if (status === 'valid') return null
  if (status !== 'pending') throw refusal(name, json)
  if (!names.includes(name)) throw new AcmeFailure('the authority asks about a name that was not ordered')
  const challenges = listOf(json, 'challenges')
  const challenge = challenges.find((each) => textOf(each, 'type') === type)
  if (challenge === undefined) {
    const offered = challenges.map((each) => textOf(each, 'type')).join(', ')
    throw new AcmeFailure(`for ${name} the authority offers ${offered || 'no challenge'}, not ${type}`)
  }
  const view = await prepareChallenge(type, name, textOf(challenge, 'token'), await account.key())
  return { url, name, challenge, view }
}

async function untilValid({ url, name }: Task, { account, wait, now }: OrderTools, until: number): Promise<void> {
  for (let n = 0; now() < until; n++) {
    const { json, retryAfterMs } = await account.post(url, null)
    const status = textOf(json, 'status')
    if (status === 'valid') return
    if (status !== 'pending' && status !== 'processing') throw refusal(name, json)
    await wait(pollMs(n, retryAfterMs))
  }
}

/** What it says of the challenge that it looked at. */
function refusal(name: string, authorization: Json): AcmeFailure {
  const problems = listOf(authorization, 'challenges').map((each) => objectOf(each, 'error'))
  const problem = problems.find((each) => sentenceOf(each) !== '') ?? {}
  const why = sentenceOf(problem) || `the authorization is ${textOf(authorization, 'status')}`
  return new AcmeFailure(`${name}: ${why}`, { type: typeOf(problem) })
}

const pollMs = (n: number, askedMs: number): number =>
  askedMs > 0 ? Math.min(MAX_ASKED_MS, askedMs) : Math.min(MAX_POLL_MS, FIRST_POLL_MS * 2 ** Math.min(n, 10))

async function download(url: string, key: KeyObject, { names }: Wanted, { account }: OrderTools): Promise<string> {
  const { text } = await account.post(url, null)
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const problem = problemOf(blocks, key, names)
  if (problem !== null) throw new AcmeFailure(`the certificate of the authority is not usable: ${problem}`)
  return `${blocks.join('\n')}\n`
}

/** null: it is for this key and these names, and each one is signed by the next. */
function problemOf(blocks: readonly string[], key: KeyObject, names: readonly string[]): string | null {
  try {
    const chain = blocks.map((block) => new X509Certificate(block))
    const [leaf] = chain
    if (leaf === undefined) return 'there is none in the answer'
    if (!leaf.checkPrivateKey(key)) return 'it is for another key'
    const missing = names.find((name) => leaf.checkHost(name) === undefined)
    if (missing !== undefined) return `it is not for ${missing}`
    if (leaf.validToDate.getTime() <= Date.now()) return 'it has expired'
    for (const [i, issuer] of chain.slice(1).entries()) {
      const issued = chain[i]
      if (issued?.checkIssued(issuer) !== true || !issued.verify(issuer.publicKey)) return 'its chain is broken'
    }
    return null
  } catch {
    return 'it is damaged'
  }
}
