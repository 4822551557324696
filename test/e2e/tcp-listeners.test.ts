/** TCP services: the addresses that they listen on, and those that they connect to. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { connect } from '../support/raw.ts'
import { fields, flowOf } from './fixtures/support.ts'

const backend = await startTcpBackend(t)
const service = (listen: readonly string[], more: object = {}): object => ({
  virtualServices: {
    main: { protocol: 'tcp', listen, health: { type: 'none' }, backends: [backend.address], ...more },
  },
})

/** The first of `count` ports in a row that were all free a moment ago. */
async function freeRange(count: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const servers: Server[] = []
    let first = 0
    try {
      for (let i = 0; i < count; i++) {
        const server = createServer()
        server.listen(first === 0 ? 0 : first + i, '127.0.0.1')
        await once(server, 'listening')
        servers.push(server)
        if (i === 0) first = (server.address() as AddressInfo).port
      }
      return first
    } catch {
      // the next port is somebody's: try another place
    } finally {
      for (const server of servers) server.close()
      await Promise.all(servers.map((server) => once(server, 'close')))
    }
  }
  throw new Error(`no ${count} free ports in a row`)
}

async function echoes(port: number, host?: string): Promise<boolean> {
  const client = await connect(port, host)
  client.send('hello')
  const text = (await client.readBytes(5)).toString()
  client.destroy()
  return text === 'hello'
}

t.test('a range of ports is listened on from its first to its last', async (t) => {
  const first = await freeRange(4)
  const balancer = await startBalancer(t, service([`127.0.0.1:${first}-${first + 3}`]))
  t.strictSame(
    balancer.addresses('main'),
    [0, 1, 2, 3].map((i) => `127.0.0.1:${first + i}`),
  )
  for (let i = 0; i < 4; i++) t.ok(await echoes(first + i))
  await t.rejects(connect(first + 4), { code: 'ECONNREFUSED' })
})

t.test('several addresses of both families serve the same backends', async (t) => {
  const balancer = await startBalancer(t, service(['127.0.0.1:0', '127.0.0.2:0', '[::1]:0']))
  const addresses = balancer.addresses('main')
  t.equal(addresses.length, 3)
  for (const address of addresses) {
    const { hostname, port } = new URL(`tcp://${address}`)
    t.ok(await echoes(Number(port), hostname.replace(/^\[|\]$/g, '')), address)
  }
})

t.test('an IPv6 client reaches an IPv6 backend, and the log has its address', async (t) => {
  const server = createServer((socket) => void socket.pipe(socket))
  server.listen(0, '::1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = `[::1]:${(server.address() as AddressInfo).port}`
  const balancer = await startBalancer(t, service(['[::1]:0'], { backends: [address] }))
  const client = await connect(balancer.port('main'), '::1')
  const port = client.socket.localPort
  client.send('hello')
  t.equal((await client.readBytes(5)).toString(), 'hello')
  client.end()
  await client.untilClosed()
  t.strictSame(fields(await flowOf(balancer, port), 'client', 'backend', 'bytesIn', 'bytesOut'), ['::1', address, 5, 5])
})

t.test('an IPv6 wildcard leaves the IPv4 port of the same number alone', async (t) => {
  const balancer = await startBalancer(t, service(['[::]:0']))
  t.ok(await echoes(balancer.port('main'), '::1'))
  await t.rejects(connect(balancer.port('main'), '127.0.0.1'), { code: 'ECONNREFUSED' })
})
