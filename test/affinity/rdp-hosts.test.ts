/** Remote Desktop clients on their hosts: known by their first packet, which reaches the host whole. */
import t, { type Test } from 'tap'
import { startTcpBackend, type TcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { connectionRequest } from './fixtures/rdp.ts'
import { tcp } from './fixtures/tcp.ts'

/** Backends that say their name as soon as they are connected. */
async function startNamed(t: Test, names: readonly string[]): Promise<(TcpBackend & { name: string })[]> {
  return Promise.all(
    names.map(async (name) => ({
      name,
      ...(await startTcpBackend(t, ({ socket }) => void socket.write(`${name}\n`))),
    })),
  )
}

async function startRdp(t: Test, affinity: object = {}) {
  const backends = await startNamed(t, ['b1', 'b2', 'b3'])
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: {
      main: tcp(
        { type: 'rdp-cookie', ...affinity },
        backends.map(({ name, address }) => ({ name, address })),
      ),
    },
  })
  const open = async (...pieces: readonly (Buffer | string)[]): Promise<string> => {
    const client = await connect(balancer.port('main'))
    for (const piece of pieces) {
      client.send(piece)
      await new Promise((sent) => setImmediate(sent))
    }
    const name = (await client.readBytes(3, 6000)).toString().trim()
    client.destroy()
    return name
  }
  return { backends, balancer, open }
}

const userRequest = (user: string): Buffer => connectionRequest(`Cookie: mstshash=${user}\r\n`)

t.test('rdp-cookie: a user comes back to the same host, from wherever and in whatever pieces', async (t) => {
  const { backends, open, balancer } = await startRdp(t)
  const homes = new Map<string, string>()
  for (const user of ['ann', 'bob', 'cid']) homes.set(user, await open(userRequest(user)))
  t.same([...homes.values()].sort(), ['b1', 'b2', 'b3'])
  for (let i = 0; i < 4; i++)
    for (const [user, home] of homes) {
      const bytes = userRequest(i % 2 === 0 ? user : user.toUpperCase())
      t.equal(await open(bytes.subarray(0, 3 + i), bytes.subarray(3 + i)), home)
    }
  const { connections } = backends.find(({ name }) => name === homes.get('ann')) ?? { connections: [] }
  t.same(connections[0]?.bytes, userRequest('ann'), 'the backend gets every byte')
  t.match(await balancer.metrics(), /evenkeel_affinity_entries\{service="main"\} 3\n/)
})

t.test('rdp-cookie: a routing token leads to the backend that it names', async (t) => {
  const { backends, open } = await startRdp(t)
  for (const { name, port } of backends) {
    const swapped = ((port & 255) << 8) | (port >>> 8)
    for (let i = 0; i < 2; i++)
      t.equal(await open(connectionRequest(`Cookie: msts=16777343.${swapped}.0000\r\n`)), name)
  }
})

t.test(
  'rdp-cookie: who says something else is not kept waiting, who says nothing waits for seconds at most',
  async (t) => {
    const { open } = await startRdp(t, { fallback: 'source-ip' })
    const home = await open('SSH-2.0-client\r\n')
    t.equal(await open('x'), home, 'its address is what it is known by')
    const begun = performance.now()
    t.equal(await open(), home)
    t.ok(performance.now() - begun > 2500, `after ${performance.now() - begun} ms`)
  },
)

t.test('rdp-cookie: a client that leaves before it has spoken leaves nothing behind', async (t) => {
  const { balancer } = await startRdp(t)
  const client = await connect(balancer.port('main'))
  client.send(Buffer.from([3, 0]))
  await eventually('it is there', async () => (await activeOf(balancer)) === 1)
  client.destroy()
  await eventually('it is gone', async () => (await activeOf(balancer)) === 0)
})

async function activeOf(balancer: Balancer): Promise<number> {
  const { active } = (await (await balancer.get('/api/v1/services/main')).json()) as { active: number }
  return active
}
