/** A reload touches what differs and nothing else, and comes about whole or not at all. */
import { createServer } from 'node:net'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect } from '../support/raw.ts'
import {
  answers,
  answersAt,
  become,
  config,
  Estate,
  echoed,
  flow,
  refused,
  start,
  statusOf,
  viewOf,
} from './fixtures/reloads.ts'

const estate = await Estate.of(t)

t.test(
  'a changed service keeps its sockets and connections; their next request is served under the new view',
  async (t) => {
    const balancer = await start(t, { web: estate.web() })
    const port = balancer.port('web')
    const client = await connect(port)
    t.equal(await answers(client), 'a')
    t.match(await become(balancer, config({ web: estate.web(estate.onB) })), {
      result: 'applied',
      exit: 0,
      sentence: 'web changed',
    })
    t.equal(await answers(client), 'b', 'on the same connection')
    t.equal(await answersAt(port), 'b', 'and on a new one at the same port')
    const view = await viewOf(balancer, 'web')
    t.equal(
      Object.values(view.totals.requests).reduce((sum, n) => sum + n),
      3,
      'its counters go on',
    )
    t.match(await statusOf(balancer), { config: { last: { result: 'applied' } }, problems: [] })
  },
)

t.test('services that do not differ are not touched: flows, counters, probes and states go on', async (t) => {
  const probed = { type: 'tcp', interval: '30s' }
  const backends = [
    { name: 'echo', address: estate.echo.address },
    { name: 'other', address: estate.other.address },
  ]
  const still = estate.raw({ health: probed, backends })
  const balancer = await start(t, { still, web: estate.web() })
  await eventually('both up', async () =>
    (await viewOf(balancer, 'still')).backends.every(({ state }) => state === 'up'),
  )
  const client = await flow(balancer.port('still'))
  const before = await viewOf(balancer, 'still')
  for (let n = 0; n < 3; n++) await become(balancer, config({ still, web: estate.web(n % 2 === 0 ? estate.onB : {}) }))
  await echoed(client)
  const after = await viewOf(balancer, 'still')
  t.equal(after.active, 1)
  for (const [i, { since, probe }] of before.backends.entries()) {
    t.equal(after.backends[i]?.since, since)
    t.strictSame(after.backends[i]?.probe.results, probe.results, 'no further probe')
  }
})

t.test('a service that is added listens, one that is removed drains and is cut when its time is up', async (t) => {
  const balancer = await start(t, { raw: estate.raw({ drain: { timeout: '1s' } }), web: estate.web() })
  const port = balancer.port('raw')
  const client = await flow(port)
  t.match(await become(balancer, config({ web: estate.web(), fresh: estate.web(estate.onB) })), {
    sentence: 'fresh added, raw removed',
  })
  const [address = ''] = (await viewOf(balancer, 'fresh')).listen
  t.equal(await answersAt(Number(address.split(':')[1])), 'b')
  t.ok(await refused(port))
  await echoed(client)
  t.match(await statusOf(balancer), { departing: [{ service: 'raw', backend: null, flows: 1, initial: 1 }] })
  t.equal(await client.untilClosed(), 'reset')
  await eventually('gone', async () => (await statusOf(balancer)).departing.length === 0)
})

t.test('a removed backend keeps its flows until their time is up, and takes no new ones', async (t) => {
  const both = {
    echo: { name: 'echo', address: estate.echo.address },
    other: { name: 'other', address: estate.other.address },
  }
  const drain = { timeout: '1s' }
  const balancer = await start(t, { raw: estate.raw({ drain, backends: [both.echo] }) })
  const client = await flow(balancer.port('raw'))
  const change = await become(balancer, config({ raw: estate.raw({ drain, backends: [both.other] }) }))
  t.match(change, { result: 'applied', changes: { changed: ['raw'] } })
  const next = await flow(balancer.port('raw'))
  await echoed(client)
  const { departing } = await statusOf(balancer)
  t.match(departing, [{ service: 'raw', backend: 'echo', flows: 1 }])
  t.strictSame(
    (await viewOf(balancer, 'raw')).backends.map(({ name, active }) => [name, active]),
    [['other', 1]],
  )
  t.equal(await client.untilClosed(), 'reset')
  await echoed(next)
  await eventually('gone', async () => (await statusOf(balancer)).departing.length === 0)
})

t.test('what is configured again before its last flow ended goes on', async (t) => {
  const balancer = await start(t, { raw: estate.raw({ drain: { timeout: '1s' } }), web: estate.web() })
  const client = await flow(balancer.port('raw'))
  const running = config({ raw: estate.raw({ drain: { timeout: '1s' } }), web: estate.web() })
  await become(balancer, config({ web: estate.web() }))
  await become(balancer, running)
  t.strictSame((await statusOf(balancer)).departing, [])
  await new Promise((resolve) => setTimeout(resolve, 1500)) // beyond the time that its drain would have had
  await echoed(client)
  t.equal((await viewOf(balancer, 'raw')).active, 1)
})

t.test('an address goes over to another service, and to another protocol, without a refused connection', async (t) => {
  // A port that was free a moment ago may be another balancer's by now, and both would listen: this one is never let go.
  const balancer = await start(t, { one: estate.web({ listen: ['127.0.0.1:0'] }) })
  const port = balancer.port('one')
  const at = { listen: [`127.0.0.1:${port}`] }
  t.match(await become(balancer, config({ one: estate.web(at) })), { result: 'applied' })
  const client = await connect(port)
  t.equal(await answers(client), 'a')
  let refusals = 0
  let stop = false
  t.teardown(() => {
    stop = true
  })
  const knocking = (async () => {
    for (; !stop; await pause(1)) if (await refused(port)) refusals++
  })()
  t.match(await become(balancer, config({ two: estate.web({ ...at, ...estate.onB }) })), { result: 'applied' })
  t.equal(await answersAt(port), 'b')
  t.match(await become(balancer, config({ two: estate.raw(at) })), { result: 'applied' })
  await echoed(await connect(port))
  t.match(await become(balancer, config({ three: estate.web(at) })), { result: 'applied' })
  t.equal(await answersAt(port), 'a')
  stop = true
  await knocking
  t.equal(refusals, 0)
})

t.test('a fault anywhere leaves everything as it is, and is named', async (t) => {
  const taken = createServer()
  const port = await new Promise<number>((resolve) =>
    taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port)),
  )
  t.teardown(() => taken.close())
  const balancer = await start(t, { web: estate.web(), last: estate.raw() })
  const client = await connect(balancer.port('web'))
  t.equal(await answers(client), 'a')
  const { hash } = (await statusOf(balancer)).config
  const missing = { certificates: [{ cert: 'none.pem', key: 'none.key' }] }
  const faults: readonly (readonly [what: string, config: object, result: string, sentence: RegExp])[] = [
    [
      'an error in the last service',
      config({ web: estate.web(estate.onB), last: estate.raw({ retries: -1 }) }),
      'invalid',
      /last\.retries/,
    ],
    [
      'a port in use',
      config({ web: estate.web(estate.onB), last: estate.raw({ listen: [`127.0.0.1:${port}`] }) }),
      'failed',
      /last.*in use/,
    ],
    [
      'a key that is not there',
      config({ web: estate.web(estate.onB), last: estate.raw({ protocol: 'tls', tls: missing }) }),
      'failed',
      /service last: .*none\.pem/,
    ],
    [
      'an option for the next start',
      config({ web: estate.web(estate.onB), last: estate.raw() }, { appliance: { threads: 1 } }),
      'failed',
      /appliance\.threads can't change/,
    ],
  ]
  for (const [what, next, result, sentence] of faults) {
    const answer = await become(balancer, next)
    t.equal(answer.result, result, what)
    t.match(answer.sentence, /^nothing has changed: /)
    t.match(answer.sentence, sentence)
    t.equal(answer.hash, hash)
    t.equal(await answers(client), 'a', 'the old view')
    const { problems, config: inForce } = await statusOf(balancer)
    t.match(problems, [{ service: '', message: sentence }])
    t.equal(inForce.hash, hash)
  }
  const metrics = await balancer.metrics()
  t.match(metrics, /evenkeel_config_reloads_total\{result="failure"\} 4/)
  t.match(metrics, /evenkeel_config_reloads_total\{result="success"\} 1/)
  t.match(balancer.stderr() + balancer.stdout(), /nothing has changed/)
  t.match(await become(balancer, config({ web: estate.web(estate.onB), last: estate.raw() })), { result: 'applied' })
  t.equal(await answers(client), 'b', 'a good one after the faults')
  t.strictSame((await statusOf(balancer)).problems, [])
})
