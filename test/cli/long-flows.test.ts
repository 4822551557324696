/** `drainstop --wait` with two hundred long flows, under load: who is served until when, exit codes, and counts that agree. */
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import t, { type Test } from 'tap'
import type { BackendView, OperationsView, ServiceView } from '../../lib/admin/index.ts'
import { json } from '../admin/support.ts'
import { type Line, linesOf, logOf } from '../e2e/fixtures/support.ts'
import { startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { RawClient } from '../support/raw.ts'
import { start as startCommand } from './support.ts'

const FLOWS = 200

/** A flow of the `n`th client, which has an address of its own; what greets it is the name of its backend. */
async function flow(balancer: Balancer, n: number): Promise<RawClient & { home: string }> {
  const socket = dial({
    port: balancer.port('main'),
    host: '127.0.0.1',
    localAddress: `127.1.${n >> 8}.${n & 255}`,
    allowHalfOpen: true,
  })
  const client = new RawClient(socket)
  try {
    await within(once(socket, 'connect'), 'a connection')
    const home = (await client.readBytes(1)).toString()
    return Object.assign(client, { home })
  } catch (error) {
    client.destroy()
    throw error
  }
}

async function echoes(client: RawClient): Promise<boolean> {
  client.send('still')
  return (await client.readBytes(5)).toString() === 'still'
}

async function start(t: Test, affinity: string): Promise<Balancer> {
  const backends = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const { address } = await startTcpBackend(t, ({ socket }) => {
        socket.write(name)
        socket.pipe(socket)
      })
      return { name, address }
    }),
  )
  const main = {
    listen: ['127.0.0.1:0'],
    protocol: 'tcp',
    health: { type: 'none' },
    affinity: { type: affinity },
    backends,
  }
  return startBalancer(t, { appliance: { threads: 2 }, virtualServices: { main } })
}

/** New clients that come and go all the while. */
function load(t: Test, balancer: Balancer) {
  const seen = { served: 0, refused: 0, homes: new Set<string>() }
  let over = false
  let n = FLOWS
  const work = async (): Promise<void> => {
    while (!over) {
      const client = await flow(balancer, ++n).catch(() => null)
      if (client === null) seen.refused++
      else {
        seen.served++
        seen.homes.add(client.home)
        client.destroy()
      }
      await new Promise((next) => setTimeout(next, 4))
    }
  }
  const done = Promise.all([work(), work(), work(), work()])
  t.teardown(() => {
    over = true
  })
  return {
    /** Forgets what was seen, but for what is under way. */
    async reset(): Promise<void> {
      await eventually('the load goes on', () => seen.served + seen.refused > 20)
      Object.assign(seen, { served: 0, refused: 0, homes: new Set<string>() })
    },
    async end(): Promise<typeof seen> {
      over = true
      await within(done, 'the end of the load')
      return seen
    },
  }
}

/** Where clients are bound, a drain lasts until its deadline: they may come back as long. */
for (const { affinity, target, timeout, exit } of [
  { affinity: 'none', target: 'main', timeout: '30s', exit: 0 },
  { affinity: 'none', target: 'main', timeout: '3s', exit: 4 },
  { affinity: 'source-ip', target: 'main', timeout: '3s', exit: 0 },
  { affinity: 'source-ip', target: 'main/a', timeout: '3s', exit: 4 },
])
  t.test(`affinity ${affinity}: drainstop ${target} --wait --timeout ${timeout} ends with ${exit}`, async (t) => {
    const balancer = await start(t, affinity)
    const clients = await Promise.all(Array.from({ length: FLOWS }, (_, i) => flow(balancer, i)))
    const storm = load(t, balancer)
    await storm.reset()
    const { stdout, ended } = await startCommand(t, [
      'drainstop',
      target,
      '--wait',
      '--timeout',
      timeout,
      '--admin',
      balancer.admin,
    ])
    await eventually('the answer', () => stdout().includes('draining, '), 15_000)
    await storm.reset()
    await storm.reset() // what was under way at the answer has ended too
    const mine = target === 'main' ? clients : clients.filter(({ home }) => home === 'a')
    const ports = new Set(mine.map(({ socket }) => socket.localPort))
    t.ok(mine.length > 60, `${mine.length} flows are to drain`)
    for (const client of clients) t.ok(await echoes(client), 'each goes on')
    for (const [n, { home }] of clients.slice(0, affinity === 'none' ? 0 : 20).entries()) {
      const again = await flow(balancer, n)
      t.equal(again.home, home, 'another flow of a bound client is served where it was')
      again.destroy()
    }
    const leaving = exit === 0 ? mine : mine.slice(0, mine.length - 40)
    for (const client of leaving) client.end()
    const result = await within(ended, 'the end of the drain', 20_000)
    t.equal(result.code, exit)
    const cut = exit === 0 ? 0 : 40
    const tail = cut === 0 ? 'stopped, every flow has ended by itself' : 'stopped, 40 flows cut at the deadline'
    t.equal(result.stdout.trim().split('\n').at(-1), `${target}: ${tail}`)
    const { served, refused, homes } = await storm.end()
    if (target === 'main') t.strictSame([served, refused > 20], [0, true], 'no new flow after the answer')
    else t.strictSame([...homes], ['b'], `${served} new flows, all elsewhere`)
    const ends = await Promise.all(mine.map((client) => client.untilClosed()))
    t.equal(ends.filter((end) => end === 'reset').length, cut)
    const path = target === 'main' ? '/api/v1/services/main' : '/api/v1/services/main/backends/a'
    const { operated } = await json<ServiceView | BackendView>(balancer, path)
    t.match(operated satisfies OperationsView, {
      operations: 'stopped',
      lastDrain: { by: exit === 0 ? 'done' : 'deadline', cut },
    })
    const isMine = ({ clientPort }: Line): boolean => ports.has(Number(clientPort))
    const lines = await linesOf(balancer, 'the flows that drained', isMine, mine.length)
    t.equal(lines.filter(({ reason }) => reason === 'cut').length, cut, 'the access log counts the same')
    const told = logOf(balancer).find(({ msg }) => String(msg).startsWith(`${target}: the drain has ended`))
    t.match(told, { cut })
    for (const client of clients) client.destroy()
  })
