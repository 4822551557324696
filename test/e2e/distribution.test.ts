/** How requests are spread by each policy, over one data thread and four. */
import t, { type Test } from 'tap'
import { askRaw } from '../admin/support.ts'
import { type Backend, startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect, type RawClient } from '../support/raw.ts'

const CONNECTIONS = 12
const THREADS = [1, 4]
const listen = ['127.0.0.1:0']
const health = { type: 'none' }

const startAll = (t: Test, n: number): Promise<Backend[]> =>
  Promise.all(Array.from({ length: n }, (_, i) => startBackend(t, `b${i}`)))

/** Sends each of these requests over connections that lie in all threads; answers who answered, in the order asked. */
async function askAll(t: Test, port: number, fields: readonly string[]): Promise<string[]> {
  const names: string[] = []
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(port)))
  t.teardown(() => {
    for (const client of clients) client.destroy()
  })
  let next = 0
  const work = async (client: RawClient): Promise<void> => {
    for (let i = next++; i < fields.length; i = next++) {
      client.send(`GET / HTTP/1.1\r\nHost: a.test\r\n${fields[i]}\r\n`)
      names[i] = (await client.readResponse()).body.toString().split(' ')[0] ?? ''
    }
    client.destroy()
  }
  await Promise.all(clients.map(work))
  return names
}

const count = (names: readonly string[], name: string): number => names.filter((each) => each === name).length

for (const threads of THREADS) {
  t.test(`${threads} threads: round robin is exact after each whole number of turns`, async (t) => {
    const backends = await startAll(t, 3)
    const weights = [5, 1, 1]
    const balancer = await startBalancer(t, {
      appliance: { threads },
      virtualServices: {
        main: {
          ...{ listen, protocol: 'http', health, balance: 'round-robin' },
          backends: backends.map(({ name, address }, i) => ({ name, address, weight: weights[i] })),
        },
      },
    })
    for (const turns of [1, 3, 40]) {
      const names = await askAll(t, balancer.port('main'), new Array<string>(7 * turns).fill(''))
      t.same(
        backends.map(({ name }) => count(names, name)),
        weights.map((weight) => weight * turns),
      )
    }
  })

  t.test(`${threads} threads: least load follows an agent within two reports`, async (t) => {
    const backends = await startAll(t, 2)
    const loads = [10, 10]
    const asked = [0, 0]
    for (const [i, backend] of backends.entries())
      backend.on('/load', (x) => {
        asked[i] = (asked[i] ?? 0) + 1
        x.answer(`${loads[i]}\n`)
      })
    const balancer = await startBalancer(t, {
      appliance: { threads },
      virtualServices: {
        main: {
          ...{ listen, protocol: 'http', health, balance: 'least-load' },
          load: { type: 'http', path: '/load', interval: '200ms', timeout: '200ms' },
          backends: backends.map(({ name, address }) => ({ name, address })),
        },
      },
    })
    for (const load of [90, 0, 60]) {
      loads[0] = load
      const [before = 0] = asked
      // When the third is asked for, two have been heard.
      await eventually('two reports', () => (asked[0] ?? 0) > before + 2 && (asked[1] ?? 0) > 2)
      const names = await askAll(t, balancer.port('main'), new Array<string>(400).fill(''))
      const idle = load < 5 ? 1 : 1 - load / 100
      const share = count(names, 'b0') / 400
      t.ok(
        Math.abs(share - idle / (idle + 0.9)) < 0.04,
        `load ${load}: ${share} of ${(idle / (idle + 0.9)).toFixed(2)}`,
      )
    }
  })
}

t.test('4 threads: of ten backends one goes, and no key moves but its own', async (t) => {
  const backends = await startAll(t, 10)
  const balancer = await startBalancer(t, {
    appliance: { threads: 4 },
    virtualServices: {
      main: {
        ...{
          listen,
          protocol: 'http',
          health,
          balance: 'hash',
          hash: { key: { header: 'X-Key' }, boundedLoad: 'off' },
        },
        backends: backends.map(({ name, address }) => ({ name, address })),
      },
    },
  })
  const keys = Array.from({ length: 600 }, (_, i) => `X-Key: k${i}\r\n`)
  const before = await askAll(t, balancer.port('main'), keys)
  await askRaw(balancer.admin, '/api/v1/services/main/backends/b4/stop', { method: 'POST' })
  const without = await askAll(t, balancer.port('main'), keys)
  const moved = before.filter((name, i) => name !== without[i])
  t.ok(moved.every((name) => name === 'b4'))
  t.equal(count(without, 'b4'), 0)
  t.ok(moved.length <= (0.1 + 0.02) * keys.length, `${moved.length} of ${keys.length} moved`)
  await askRaw(balancer.admin, '/api/v1/services/main/backends/b4/start', { method: 'POST' })
  t.same(await askAll(t, balancer.port('main'), keys), before, 'and they come back with it')
})
