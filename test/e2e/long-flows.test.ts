/** How flows that last are spread by least-connections and random-two, over one, two and four data threads. */
import t, { type Test } from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { backendOf } from './fixtures/support.ts'

/** A TCP service whose flows last until their clients end them. */
async function held(t: Test, threads: number, balance: string, weights: readonly number[]) {
  const echo = await startTcpBackend(t)
  const backends = weights.map((weight, i) => ({ name: `b${i}`, address: echo.address, weight }))
  const balancer = await startBalancer(t, {
    appliance: { threads },
    virtualServices: {
      main: { listen: ['127.0.0.1:0'], protocol: 'tcp', health: { type: 'none' }, balance, backends },
    },
  })
  const open = async (): Promise<RawClient> => {
    const client = await connect(balancer.port('main'))
    client.send('x')
    await client.readBytes(1)
    return client
  }
  const active = async (): Promise<number[]> =>
    Promise.all(backends.map(async ({ name }) => Number((await backendOf(balancer, 'main', name))['active'])))
  const settled = (n: number): Promise<number[]> =>
    eventually(`${n} flows`, async () => {
      const counts = await active()
      return counts.reduce((a, b) => a + b, 0) === n && counts
    })
  return { open, settled }
}

for (const threads of [1, 2, 4]) {
  t.test(`${threads} threads: least connections is within one of the ideal while flows come and go`, async (t) => {
    const weights = [3, 2, 1]
    const { open, settled } = await held(t, threads, 'least-connections', weights)
    let clients = await Promise.all(Array.from({ length: 60 }, open))
    for (const every of [2, 3, 5]) {
      const ended = clients.filter((_, i) => i % every === 0)
      for (const client of ended) client.destroy()
      clients = clients.filter((_, i) => i % every !== 0)
      await settled(clients.length)
      clients.push(...(await Promise.all(Array.from({ length: 60 }, open))))
      const active = await settled(clients.length)
      for (const [i, weight] of weights.entries()) {
        const ideal = (clients.length * weight) / 6
        t.ok(Math.abs((active[i] ?? 0) - ideal) <= 1, `b${i} has ${active[i]} of ${ideal}`)
      }
    }
    for (const client of clients) client.destroy()
  })

  t.test(`${threads} threads: the worst of ten is within 15 % by random two`, async (t) => {
    const { open, settled } = await held(t, threads, 'random-two', new Array<number>(10).fill(1))
    const clients: RawClient[] = []
    while (clients.length < 500) clients.push(...(await Promise.all(Array.from({ length: 50 }, open))))
    const active = await settled(500)
    t.ok(Math.max(...active) <= 50 * 1.15, `${active}`)
    for (const client of clients) client.destroy()
  })
}
