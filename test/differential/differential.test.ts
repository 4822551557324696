/** The two HTTP engines against each other: whatever is sent, both tell backends and clients the same. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { type Backend, startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { type AnswerCase, type Case, cases } from './generators.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import { RULES } from './rules.ts'

const RUNS = Number(process.env['EVENKEEL_RUNS'] ?? 0)
const ENGINES = ['native', 'http-proxy'] as const
const VARIANTS = {
  plain: {},
  trusted: { http: { trustedProxies: ['127.0.0.1'], forwarded: true } },
  changed: { http: { host: 'backend', via: 'other', requestId: 'X-Gone', allowTrace: true, upgrades: ['foo'] } },
  filtered: {
    http: { host: 'backend' },
    filters: [
      { setRequestFields: { 'X-Asked': '{host}{path} {client}' } },
      { addRequestFields: { Cookie: 'added=1' } },
      { removeRequestFields: ['Accept'] },
      { setResponseFields: { 'X-Asked': '{path}', 'Content-Disposition': 'inline; filename="\xe4"' } },
      { removeResponseFields: ['Server'] },
      { cookies: { secure: true } },
      { respond: { status: 404, body: 'none' }, when: { path: '/b' } },
    ],
  },
}
type Variant = keyof typeof VARIANTS

const backends: Record<(typeof ENGINES)[number], Backend> = {
  native: await startBackend(t, 'native'),
  'http-proxy': await startBackend(t, 'http-proxy'),
}
const balancer = await startBalancer(t, {
  accessLog: { format: 'off' },
  virtualServices: Object.fromEntries(
    ENGINES.flatMap((engine) =>
      Object.entries<{ http?: object; filters?: object[] }>(VARIANTS).map(([variant, { http, ...more }]) => [
        `${engine}-${variant}`,
        {
          protocol: 'http',
          listen: ['127.0.0.1:0'],
          health: { type: 'none' },
          backends: [backends[engine].address],
          ...more,
          http: { ...http, engine },
        },
      ]),
    ),
  ),
})

if (RUNS > 0) t.setTimeout(0)

/** Lets a backend answer the next requests so. */
function script(backend: Backend, { text, sizes, ends }: AnswerCase): void {
  backend.onRequest = async (x) => {
    let at = 0
    for (let i = 0; at < text.length; i++) {
      const size = sizes[i % sizes.length] ?? text.length
      x.write(text.slice(at, at + size))
      at += size
      await new Promise((done) => setImmediate(done))
    }
    if (ends) x.end()
  }
}

/** Every case of a list behind one engine, on one connection as long as it lasts. */
async function run(engine: (typeof ENGINES)[number], variant: Variant, list: readonly Case[]): Promise<Outcome[]> {
  const backend = backends[engine]
  const outcomes: Outcome[] = []
  let client: RawClient | null = null
  for (const one of list) {
    script(backend, one.answer)
    client ??= await connect(balancer.port(`${engine}-${variant}`))
    const seen = backend.requests.length
    const outcome = await outcomeOf(one, client, backend)
    outcomes.push(outcome)
    // The next request must not meet a connection that ends, or brings bytes behind its answer, just then: that is a matter of luck.
    const { ends, body, bodiless } = one.answer
    if (ends || (body && (bodiless || one.request.method === 'HEAD')))
      await backend.requests[seen]?.connection.untilClosed()
    if (outcome.returned?.keeps === true && client.ending === undefined) continue
    client.destroy()
    client = null
  }
  client?.destroy()
  return outcomes
}

const level = (outcome: Outcome, one: Case): Outcome =>
  RULES.reduce((levelled, rule) => rule.level?.(levelled, one) ?? levelled, outcome)

/** The parts that differ. */
function told(native: Outcome, proxy: Outcome): string {
  const parts = (['arrived', 'returned', 'faults'] as const).filter(
    (part) => part === 'faults' || !isDeepStrictEqual(native[part], proxy[part]),
  )
  return parts
    .map((part) => `${part}\nnative ${JSON.stringify(native[part])}\nproxy  ${JSON.stringify(proxy[part])}`)
    .join('\n')
}

const explained = new Map<string, number>()

/** What differs and no rule explains, or null. */
function difference(one: Case, native: Outcome, proxy: Outcome): string | null {
  const [left, right] = [level(native, one), level(proxy, one)]
  if (isDeepStrictEqual(left, right) && left.faults.length === 0) return null
  const rule = RULES.find((candidate) => candidate.explains?.(one, left, right) === true)
  if (rule === undefined) return told(left, right)
  explained.set(rule.name, (explained.get(rule.name) ?? 0) + 1)
  return null
}

t.test('whatever is sent, both engines tell the backend and the client the same', async (t) => {
  let requests = 0
  const variants = fc.constantFrom(...(Object.keys(VARIANTS) as Variant[]))
  await fc.assert(
    fc.asyncProperty(variants, cases, async (variant, list) => {
      const [native, proxy] = await Promise.all(ENGINES.map((engine) => run(engine, variant, list)))
      requests += list.length
      for (const [i, one] of list.entries()) {
        const [left, right] = [native?.[i], proxy?.[i]]
        if (left === undefined || right === undefined) throw new Error('an outcome is missing')
        const found = difference(one, left, right)
        if (found !== null) throw new Error(`request ${i}: ${found}`)
      }
    }),
    RUNS > 0 ? { numRuns: RUNS } : { numRuns: 300, interruptAfterTimeLimit: 15_000, markInterruptAsFailure: false },
  )
  t.ok(requests > 0)
  t.comment(`${requests} requests; ${[...explained].map(([name, n]) => `${n} ${name}`).join(', ')}`)
  t.notMatch(balancer.stderr(), /died/, 'no thread died')
})
