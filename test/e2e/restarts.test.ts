/** What operators did, and what was known, is there after a restart, whatever ended the run before. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { BackendView, ServiceView, StatusView } from '../../lib/admin/index.ts'
import { askRaw } from '../admin/support.ts'
import { folder } from '../cli/support.ts'
import { refusedPort, startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { logOf, untilState } from './fixtures/support.ts'

const backend = await startBackend(t)
const dead = `127.0.0.1:${await refusedPort()}`
const PROBE = { type: 'tcp', interval: '10s', fastInterval: '10s', downInterval: '10s', fall: 1, startGrace: '0s' }

interface Shop {
  readonly listen: readonly string[]
  readonly protocol: string
  readonly health: object
  readonly backends: readonly object[]
}

const shop = (more: Partial<Shop> = {}, weight = 1): Shop => ({
  listen: ['127.0.0.1:0'],
  protocol: 'http',
  health: { type: 'none' },
  backends: [
    { name: 'a', address: backend.address, weight },
    { name: 'b', address: backend.address },
  ],
  ...more,
})

const start = (t: Test, dir: string, services: object = { shop: shop() }): Promise<Balancer> =>
  startBalancer(t, { appliance: { threads: 1, stateFile: join(dir, 'state.json') }, virtualServices: services })

async function tell(balancer: Balancer, path: string, body: object = {}): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  return (await askRaw(balancer.admin, `/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) }))
    .status
}

const shopOf = async (balancer: Balancer): Promise<ServiceView> =>
  (await (await balancer.get('/api/v1/services/shop')).json()) as ServiceView
const backendsOf = async (balancer: Balancer): Promise<Map<string, BackendView>> =>
  new Map((await shopOf(balancer)).backends.map((view) => [view.name, view]))

t.test('standings, weights, who and why outlive a stop and a kill', async (t) => {
  const dir = await folder(t)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const first = await start(t, dir)
    await tell(first, '/services/shop/backends/a/stop', { reason: `before ${signal}` })
    await tell(first, '/services/shop/backends/b/weight', { weight: 7 })
    await tell(first, '/services/shop/suspend')
    await tell(first, '/stop')
    await first.stop(signal)
    const second = await start(t, dir)
    const { operated } = (await second.status()) as unknown as StatusView
    t.match(operated, { sentence: 'stopped', last: { verb: 'stop', by: '127.0.0.1' } })
    const view = await shopOf(second)
    t.equal(view.operated.control, 'suspended')
    t.match(view.backends[0], {
      name: 'a',
      state: 'maintenance',
      cause: 'operator',
      operated: { operations: 'stopped', last: { reason: `before ${signal}` } },
    })
    t.match(view.backends[1], { name: 'b', weight: 7, state: 'up' })
    await t.rejects(fetch(`http://127.0.0.1:${second.port('shop')}/`), 'nothing listens')
    for (const path of ['/start', '/services/shop/resume', '/services/shop/start', '/services/shop/backends/a/start'])
      t.equal(await tell(second, path), 200, path)
    await tell(second, '/services/shop/backends/b/weight', { weight: 1 })
    t.equal((await fetch(`http://127.0.0.1:${second.port('shop')}/`)).status, 200)
    await second.stop()
  }
})

t.test('a drain ends with the restart: its flows are gone', async (t) => {
  const dir = await folder(t)
  const first = await start(t, dir)
  const connection = fetch(`http://127.0.0.1:${first.port('shop')}/held`).catch(() => null)
  backend.on('/held', () => undefined)
  await eventually('the request', async () => (await shopOf(first)).active === 1)
  await tell(first, '/services/shop/drainstop')
  t.equal((await shopOf(first)).operated.operations, 'draining')
  await first.stop('SIGKILL')
  await connection
  const second = await start(t, dir)
  await eventually('the end of the drain', async () => (await shopOf(second)).operated.sentence === 'stopped')
})

t.test('a configuration that changed wins, and the log says what was not taken over', async (t) => {
  const dir = await folder(t)
  const first = await start(t, dir)
  await tell(first, '/services/shop/backends/a/stop')
  await tell(first, '/services/shop/backends/b/stop')
  await first.stop()
  const second = await start(t, dir, { shop: shop({}, 5) })
  const backends = await backendsOf(second)
  t.match(backends.get('a'), { state: 'up', weight: 5, operated: { last: null } })
  t.match(backends.get('b'), { state: 'maintenance' })
  const lines = logOf(second).map(({ msg }) => String(msg))
  t.ok(
    lines.includes(
      'state file: not taken over: backend shop/a: the configuration says admin ready, weight 5 now, it said admin ready, weight 1',
    ),
  )
})

t.test('a backend begins with the health that was last known, and its first probe decides', async (t) => {
  const dir = await folder(t)
  const both = {
    shop: shop({
      health: PROBE,
      backends: [
        { name: 'a', address: backend.address },
        { name: 'b', address: dead },
      ],
    }),
  }
  const first = await start(t, dir, both)
  await untilState(first, 'a', 'up')
  await untilState(first, 'b', 'down')
  await first.stop()
  const saved = JSON.parse(await readFile(join(dir, 'state.json'), 'utf8')) as {
    backends: Record<string, { health: string; probed: string }>
  }
  t.match(saved.backends, { 'shop/a': { health: 'passing' }, 'shop/b': { health: 'failing' } })
  // As if the dead one had been well before: it is up at once, and found out by the first probe.
  const lie = {
    ...saved,
    backends: { ...saved.backends, 'shop/b': { ...saved.backends['shop/b'], health: 'passing' } },
  }
  await writeFile(join(dir, 'state.json'), JSON.stringify(lie))
  const second = await start(t, dir, both)
  await untilState(second, 'b', 'down')
  const changes = logOf(second).filter(({ backend, to }) => backend !== undefined && to !== undefined)
  t.strictSame(
    changes.map(({ backend, from, to }) => [backend, from, to]),
    [['b', 'up', 'down']],
    'nobody was unknown',
  )
})

t.test('a torn or strange state file is put aside, with a warning, and never keeps it from starting', async (t) => {
  for (const text of ['{"version":1,"at":17', '', '\0'.repeat(4096), '{"version":99}']) {
    const dir = await folder(t)
    await writeFile(join(dir, 'state.json'), text)
    const balancer = await start(t, dir)
    t.match(balancer.stderr(), /state file: .*state\.json is passed over: .*it is now .*state\.json\.broken/)
    t.equal(await readFile(join(dir, 'state.json.broken'), 'utf8'), text)
    t.equal(await tell(balancer, '/services/shop/backends/a/stop'), 200)
    t.match(JSON.parse(await readFile(join(dir, 'state.json'), 'utf8')), {
      backends: { 'shop/a': { standing: { operations: 'stopped' } } },
    })
    await balancer.stop()
  }
})

t.test('`stateFile: off` keeps nothing', async (t) => {
  const balancer = await startBalancer(t, {
    appliance: { threads: 1, stateFile: 'off' },
    virtualServices: { shop: shop() },
  })
  t.equal(await tell(balancer, '/services/shop/backends/a/stop'), 200)
  await t.rejects(readFile(join(balancer.dir, 'state', 'evenkeel.json')), { code: 'ENOENT' })
})
