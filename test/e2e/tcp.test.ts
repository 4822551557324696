/** TCP services: bytes go both ways unchanged, at the pace of the slower side, and each side may end first. */
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startTcpBackend, type TcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { fields, flowOf, hashOfContent, MIB, Receipt, sendContent, settled, watchMemory } from './fixtures/support.ts'

const tcp = (backend: TcpBackend, more: object = {}): object => ({
  protocol: 'tcp',
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [backend.address],
  ...more,
})

async function open(port: number): Promise<Socket> {
  const socket = dial({ port, host: '127.0.0.1', allowHalfOpen: true })
  await within(once(socket, 'connect'), 'a connection')
  return socket
}

t.test('64 MiB each way at once arrive unchanged', async (t) => {
  const size = 64 * MIB
  const receipts: Receipt[] = []
  const backend = await startTcpBackend(t, ({ socket, received }) => {
    receipts.push(new Receipt(socket))
    socket.on('data', () => received.splice(0))
    void sendContent(socket, size).then(() => socket.end())
  })
  const balancer = await startBalancer(t, { virtualServices: { main: tcp(backend) } })
  const client = await open(balancer.port('main'))
  const receipt = new Receipt(client)
  const port = client.localPort
  const ended = once(client, 'end')
  await within(sendContent(client, size), '64 MiB to the backend', 30_000)
  client.end()
  await within(ended, '64 MiB to the client', 30_000)
  await eventually('all at the backend', () => receipts[0]?.bytes === size)
  t.strictSame([receipt.digest, receipts[0]?.digest], [hashOfContent(size), hashOfContent(size)])
  const line = await flowOf(balancer, port)
  t.strictSame(fields(line, 'bytesIn', 'bytesOut', 'endedBy', 'reason', 'phase'), [size, size, '', '', 'done'])
})

t.test('a slow reader holds its sender up, and the balancer keeps next to nothing meanwhile', async (t) => {
  const size = 256 * MIB
  let sender: Socket | undefined
  const backend = await startTcpBackend(t, ({ socket }) => {
    sender = socket
    void sendContent(socket, size).then(() => socket.end())
  })
  const echo = await startTcpBackend(t)
  const balancer = await startBalancer(t, { virtualServices: { main: tcp(backend), echo: tcp(echo) } })
  const other = await connect(balancer.port('echo'))
  other.send('hello')
  await other.readBytes(5)
  const rise = watchMemory(t, balancer.pid)
  const client = await open(balancer.port('main'))
  const sent = await settled('what the backend got rid of', () =>
    sender === undefined ? 0 : sender.bytesWritten - sender.writableLength,
  )
  t.ok(sent > 0)
  t.ok(sent < 64 * MIB, `${sent} bytes left the backend`)
  t.ok(rise() < 32 * MIB, `while they wait, memory rose by ${rise()}`)
  other.send('still there')
  t.equal((await other.readBytes(11)).toString(), 'still there', 'other flows go on')
  const receipt = new Receipt(client)
  await within(once(client, 'end'), '256 MiB', 60_000)
  t.equal(receipt.digest, hashOfContent(size))
  t.ok(rise() < 64 * MIB, `to the end, memory rose by ${rise()}`)
  client.end()
})

t.test('a backend that does not read holds the client up, and gets everything once it does', async (t) => {
  const size = 128 * MIB
  const accepted: Socket[] = []
  const backend = await startTcpBackend(t, ({ socket, received }) => {
    socket.on('data', () => received.splice(0))
    socket.pause()
    accepted.push(socket)
  })
  const balancer = await startBalancer(t, { virtualServices: { main: tcp(backend) } })
  const client = await open(balancer.port('main'))
  const rise = watchMemory(t, balancer.pid)
  const all = sendContent(client, size)
  const sent = await settled('what the client got rid of', () => client.bytesWritten - client.writableLength)
  t.ok(sent > 0 && sent < 64 * MIB, `${sent} bytes left the client`)
  t.ok(rise() < 32 * MIB, `memory rose by ${rise()}`)
  const [socket] = accepted
  if (socket === undefined) throw new Error('no connection at the backend')
  const receipt = new Receipt(socket)
  socket.resume()
  await within(all, 'the rest', 30_000)
  client.end()
  await within(once(socket, 'end'), 'the end', 30_000)
  t.equal(receipt.digest, hashOfContent(size))
  socket.end()
})

t.test('half-close', async (t) => {
  const backend = await startTcpBackend(t, () => undefined)
  const balancer = await startBalancer(t, { virtualServices: { main: tcp(backend) } })
  const pair = async () => {
    const known = backend.connections.length
    const client = await connect(balancer.port('main'))
    const port = client.socket.localPort
    await eventually('the connection at the backend', () => backend.connections.length > known)
    const peer = backend.connections[known]
    if (peer === undefined) throw new Error('no peer')
    return { client, peer, port }
  }
  const normal = async (t: Test, port: number | undefined, bytesIn: number, bytesOut: number) =>
    t.strictSame(fields(await flowOf(balancer, port), 'bytesIn', 'bytesOut', 'endedBy', 'reason'), [
      bytesIn,
      bytesOut,
      '',
      '',
    ])

  await t.test('a client that ends first still gets the whole answer', async (t) => {
    const { client, peer, port } = await pair()
    client.send('question')
    client.end()
    t.equal(await peer.untilClosed(), 'end')
    t.equal(peer.text, 'question')
    const answer = Buffer.alloc(3 * MIB, 'answer ')
    peer.socket.end(answer)
    t.ok((await client.readUntilClose()).equals(answer))
    t.equal(await client.untilClosed(), 'end')
    await normal(t, port, 8, answer.length)
  })

  await t.test('a backend that ends first still gets everything the client has to say', async (t) => {
    const { client, peer, port } = await pair()
    peer.socket.end('greeting')
    t.equal((await client.readUntilClose()).toString(), 'greeting')
    const story = Buffer.alloc(3 * MIB, 'story ')
    client.send(story)
    client.end()
    t.equal(await peer.untilClosed(), 'end')
    t.ok(peer.bytes.equals(story))
    await normal(t, port, story.length, 8)
  })

  await t.test('an end without a byte is passed on too', async (t) => {
    const { client, peer, port } = await pair()
    client.end()
    t.equal(await peer.untilClosed(), 'end')
    peer.socket.end()
    t.equal(await client.untilClosed(), 'end')
    await normal(t, port, 0, 0)
  })
})
