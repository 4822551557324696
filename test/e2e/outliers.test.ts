/** Backends on which flows fail one after the other are ejected, by what clients meet and not by probes. */
import t, { type Test } from 'tap'
import { refusedPort, startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect, roundTrip } from '../support/raw.ts'
import { backendOf, changesOf } from './fixtures/support.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'

const HTTP = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' } }
const OUTLIERS = { baseTime: '1s' }

const start = (t: Test, service: object, outliers: object = OUTLIERS): Promise<Balancer> =>
  startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { main: { ...HTTP, outliers, ...service } },
  })

const ejected = (balancer: Balancer, name: string): Promise<true> =>
  eventually(`${name} is ejected`, () => changesOf(balancer, name)[0]?.endsWith(' passive') === true || undefined)

const FAILURES = [
  ['503 answers', 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'],
  ['answers that are not HTTP', 'nonsense\r\n\r\n'],
  ['answers that break off', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'],
] as const

t.test('five failures in a row eject, and the backend comes back by itself', async (t) => {
  const cases = []
  for (const engine of ['native', 'http-proxy'])
    for (const [i, [what, answer]] of FAILURES.entries()) {
      const [bad, good] = await Promise.all([startBackend(t, `bad-${engine}-${i}`), startBackend(t, 'good')])
      bad.onRequest = (x) => x.end(answer)
      cases.push({ title: `${engine}: ${what}`, service: `${engine}-${i}`, engine, bad, good })
    }
  const virtualServices = Object.fromEntries(
    cases.map(({ service, engine, bad, good }) => {
      const backends = [bad, good].map(({ name, address }) => ({ name, address }))
      return [service, { ...HTTP, outliers: OUTLIERS, http: { engine }, backends }]
    }),
  )
  const balancer = await startBalancer(t, { appliance: { threads: 2 }, virtualServices })
  for (const { title, service, bad } of cases)
    await t.test(title, async (t) => {
      const ask = () => roundTrip(balancer.port(service), GET)
      for (let i = 0; i < 8; i++) await ask().catch(() => null)
      t.strictSame(changesOf(balancer, bad.name), [], 'four of them do not')
      for (let i = 0; i < 2; i++) await ask().catch(() => null)
      await ejected(balancer, bad.name)
      t.match((await backendOf(balancer, service, bad.name))['why'], /^5 flows failed in a row: ejected for 1 s$/)
      const seen = bad.requests.length
      for (let i = 0; i < 6; i++) t.equal((await ask()).status, 200)
      t.equal(bad.requests.length, seen, 'it gets nothing')
      await eventually('its return', () => changesOf(balancer, bad.name).at(-1) === 'down up passive')
    })
})

t.test('connects that fail eject, over TCP too; the last backend never is', async (t) => {
  const well = await startTcpBackend(t, ({ socket }) => socket.end('well'))
  const dead = { name: 'dead', address: `127.0.0.1:${await refusedPort()}` }
  const balancer = await start(t, { protocol: 'tcp', backends: [dead, { name: 'well', address: well.address }] })
  for (let i = 0; i < 12; i++) {
    const client = await connect(balancer.port('main'))
    t.equal((await client.readUntilClose()).toString(), 'well')
    client.destroy()
  }
  await ejected(balancer, 'dead')
  const alone = await start(t, { backends: [dead] })
  for (let i = 0; i < 12; i++) t.equal((await roundTrip(alone.port('main'), GET)).status, 503)
  t.strictSame(changesOf(alone, 'dead'), [])
})

t.test('passing probes end a first ejection early', async (t) => {
  const [bad, good] = await Promise.all([startBackend(t, 'bad'), startBackend(t, 'good')])
  let failing = true
  bad.onRequest = (x) => x.answer('', '', failing && x.request.target === '/' ? '502 Bad' : '200 OK')
  const health = { type: 'http', path: '/healthz', interval: '100ms', rise: 2 }
  const backends = [bad, good].map(({ name, address }) => ({ name, address }))
  const balancer = await start(t, { health, backends }, { baseTime: '300s' })
  const changes = (): string[] => changesOf(balancer, 'bad').slice(1)
  await eventually('both up', () => changesOf(balancer, 'bad').length === 1 && changesOf(balancer, 'good').length === 1)
  for (let i = 0; i < 10; i++) await roundTrip(balancer.port('main'), GET)
  await eventually('the return', () => changes().at(-1) === 'down up passive')
  t.strictSame(changes(), ['up down passive', 'down up passive'])
  for (let i = 0; i < 10; i++) await roundTrip(balancer.port('main'), GET)
  await eventually('the second ejection', () => changes().length === 3)
  failing = false
  const { probe } = (await backendOf(balancer, 'main', 'bad')) as unknown as { probe: { streak: number } }
  await eventually('more passing probes', async () => {
    const now = (await backendOf(balancer, 'main', 'bad')) as unknown as { probe: { streak: number } }
    return now.probe.streak > probe.streak + 3
  })
  t.equal(changes().length, 3, 'they passed while flows failed: this time they are not believed')
})

t.test('without `outliers` nobody is ejected', async (t) => {
  const bad = await startBackend(t, 'bad')
  const good = await startBackend(t, 'good')
  bad.onRequest = (x) => x.answer('', '', '503 No')
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        health: { type: 'none' },
        backends: [bad, good].map(({ name, address }) => ({ name, address })),
      },
    },
  })
  for (let i = 0; i < 20; i++) await roundTrip(balancer.port('main'), GET)
  t.equal(bad.requests.length, 10)
})
