/** What Microsoft's Q247712 told of `wlbs` is not so here: each answer, and what `query` says after it, agree. */
import t, { type Test } from 'tap'
import type { VerbAnswer } from '../../lib/admin/index.ts'
import { VERBS, type Verb } from '../../lib/service/operations.ts'
import { askRaw, json, setUp } from '../admin/support.ts'
import type { Balancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { commands, flow, LEFT, standing } from './fixtures/operator.ts'

for (const target of ['', 'echo']) {
  const name = target === '' ? 'the appliance' : target
  const on = target === '' ? [] : [target]

  t.test(`Q247712, first case, on ${name}: drainstop, query, drainstop, stop`, async (t) => {
    const { balancer } = await setUp(t)
    const command = commands(t, balancer)
    const client = await flow(balancer)
    const first = await command('drainstop', ...on)
    t.match(first, { code: 0, stderr: '' })
    t.match(first.stdout.trim(), LEFT)
    t.match(await standing(command, target), LEFT, 'it says that it drains, not that draining has stopped')
    const again = await command('drainstop', ...on)
    t.equal(again.code, 0)
    t.match(again.stdout, `${name}: already draining, 1 flow left`)
    t.match(await standing(command, target), LEFT)
    client.send('still')
    t.equal((await client.readBytes(5)).toString(), 'still', 'the flow goes on meanwhile')
    const stopped = await command('stop', ...on)
    t.match(stopped, { code: 0, stdout: `${name}: stopped, drain cut short, 1 flow cut\n` })
    t.equal(await client.untilClosed(), 'reset')
    t.equal(await standing(command, target), `${name}: stopped`)
    t.equal((await command('stop', ...on)).stdout, `${name}: already stopped\n`)
  })

  t.test(`Q247712, second case, on ${name}: suspend, stop, drainstop`, async (t) => {
    const { balancer } = await setUp(t)
    const command = commands(t, balancer)
    const client = await flow(balancer)
    const suspended = await command('suspend', ...on)
    t.match(suspended, { code: 0, stdout: `${name}: stopped, 1 flow cut; control is suspended\n` })
    t.equal(await client.untilClosed(), 'reset')
    t.equal(await standing(command, target), `${name}: stopped; control is suspended`)
    for (const verb of ['stop', 'drainstop']) {
      const { code, stdout, stderr } = await command(verb, ...on)
      t.strictSame([code, stdout], [5, ''], verb)
      t.equal(stderr, `evenkeel: ${name}: refused: control is suspended\n`)
      t.equal(await standing(command, target), `${name}: stopped; control is suspended`, `nothing happened by ${verb}`)
    }
    t.match(await command('resume', ...on), {
      code: 0,
      stdout: `${name}: control is active; operations stay stopped until start\n`,
    })
    t.equal(await standing(command, target), `${name}: stopped`)
    await t.rejects(connect(balancer.port('echo')), { code: 'ECONNREFUSED' })
    t.match(await command('start', ...on), { code: 0, stdout: `${name}: started\n` })
    t.equal(await standing(command, target), `${name}: started`)
    ;(await flow(balancer)).destroy()
  })
}

/** By verb: what it answers in each standing, word by word; and the standing after it. */
const DRAINING = 'draining, 1 flow left, cut in 300 s at the latest'
const SUSPENDED = 'stopped; control is suspended'
const REFUSED = 'refused: control is suspended'
const FROM = ['started', 'draining', 'stopped', 'suspended'] as const
type Row = readonly (readonly [answer: string, after: string])[]
const TABLE: Readonly<Record<Verb, Row>> = {
  start: [
    ['already started', 'started'],
    ['started again, drain cancelled', 'started'],
    ['started', 'started'],
    [REFUSED, SUSPENDED],
  ],
  drainstop: [
    [DRAINING, DRAINING],
    [`already ${DRAINING}`, DRAINING],
    ['already stopped', 'stopped'],
    [REFUSED, SUSPENDED],
  ],
  stop: [
    ['stopped, 1 flow cut', 'stopped'],
    ['stopped, drain cut short, 1 flow cut', 'stopped'],
    ['already stopped', 'stopped'],
    [REFUSED, SUSPENDED],
  ],
  suspend: [
    [`stopped, 1 flow cut; control is suspended`, SUSPENDED],
    [`stopped, drain cut short, 1 flow cut; control is suspended`, SUSPENDED],
    [SUSPENDED, SUSPENDED],
    [`already suspended: ${SUSPENDED}`, SUSPENDED],
  ],
  resume: [
    ['control is not suspended; started', 'started'],
    [`control is not suspended; ${DRAINING}`, DRAINING],
    ['control is not suspended; stopped', 'stopped'],
    ['control is active; operations stay stopped until start', 'stopped'],
  ],
}

/** Seconds go by while the test runs. */
const timeless = (text: string): string => text.replace(/\d+ s /, 'n s ')

async function tell(balancer: Balancer, path: string, verb: string): Promise<VerbAnswer> {
  const { body } = await askRaw(balancer.admin, `/api/v1${path}/${verb}`, { method: 'POST' })
  return JSON.parse(body) as VerbAnswer
}

async function sentenceOf(balancer: Balancer, path: string): Promise<string> {
  const view = await json<{ operated: { sentence: string } }>(balancer, `/api/v1${path === '' ? '/status' : path}`)
  return view.operated.sentence
}

/** One flow, and the standing, whatever was before. */
async function bring(t: Test, balancer: Balancer, path: string, from: (typeof FROM)[number]): Promise<void> {
  for (const verb of ['resume', 'start']) await tell(balancer, path, verb)
  if (from === 'started' || from === 'draining') {
    const client = await flow(balancer)
    t.teardown(() => client.destroy())
  }
  const verb = { started: null, draining: 'drainstop', stopped: 'stop', suspended: 'suspend' }[from]
  if (verb !== null) await tell(balancer, path, verb)
}

for (const [name, path] of [
  ['the appliance', ''],
  ['a service', '/services/echo'],
  ['a backend', `/services/echo/backends/`],
] as const)
  t.test(`the table of verbs on ${name}: what each answers in each standing, and what is asked for then`, async (t) => {
    const { balancer } = await setUp(t)
    const [echo] = (await json<{ backends: { name: string }[] }>(balancer, '/api/v1/services/echo')).backends
    const target = path.endsWith('/') ? `${path}${encodeURIComponent(echo?.name ?? '')}` : path
    for (const verb of VERBS)
      for (const [i, from] of FROM.entries())
        await t.test(`${verb}, ${from}`, async (t) => {
          await bring(t, balancer, target, from)
          const [answer = '', after = ''] = TABLE[verb][i] ?? []
          const { sentence, exit } = await tell(balancer, target, verb)
          t.equal(timeless(sentence), timeless(answer))
          t.equal(exit, answer === REFUSED ? 5 : 0)
          t.equal(timeless(await sentenceOf(balancer, target)), timeless(after))
          await tell(balancer, target, 'stop')
          await eventually('the end of the flow', async () => {
            const { active } = await json<{ active: number }>(balancer, '/api/v1/services/echo')
            return active === 0
          })
        })
  })
