/** Starting and stopping the demo: in this process, in a worker thread, as a program; and its line-echo servers. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { type DemoHandle, runDemo, startDemoBackends, startDemoWorker } from '../../lib/demo/index.ts'
import { rawClient } from './fixtures/raw.ts'

async function refused(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  const outcome = await Promise.race([
    once(socket, 'connect').then(() => false),
    once(socket, 'close').then(() => true),
  ]).catch(() => true)
  socket.destroy()
  return outcome
}

async function named(handle: DemoHandle): Promise<string[]> {
  return Promise.all(
    handle.addresses.map(async ({ http }) => {
      const answer = await fetch(`http://${http.host}:${http.port}/`)
      await answer.text()
      return answer.headers.get('x-backend') ?? ''
    }),
  )
}

const STARTS = { 'in this process': startDemoBackends, 'in a worker thread': startDemoWorker }
for (const [where, start] of Object.entries(STARTS)) {
  t.test(`${where}: three backends answer with their names, and nothing listens after close`, async (t) => {
    const demo = await start({ ports: [0, 0, 0] })
    t.strictSame(await named(demo), ['backend-1', 'backend-2', 'backend-3'])
    t.strictSame(
      demo.addresses.map(({ name }) => name),
      ['backend-1', 'backend-2', 'backend-3'],
    )
    const ports = demo.addresses.flatMap(({ http, tcp }) => [http.port, tcp.port])
    t.equal(new Set(ports).size, 6)
    await demo.close()
    for (const port of ports) t.equal(await refused(port), true)
    await demo.close()
    t.pass('closing twice is harmless')
  })

  t.test(`${where}: close cuts what is open`, async (t) => {
    const demo = await start({ count: 1, ports: [0] })
    const [address] = demo.addresses
    const clients = await Promise.all(
      [address?.http, address?.http, address?.tcp].map((a) => rawClient(t, a?.port ?? 0)),
    )
    clients[0]?.socket.write('GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n')
    clients[1]?.socket.write(
      'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    await clients[1]?.until((all) => all.includes('101'))
    await clients[2]?.until((all) => all.includes('ready'))
    await demo.close()
    await Promise.all(clients.map((client) => client.ended()))
    t.pass('every connection ended')
  })

  t.test(`${where}: a busy port is named, and what had started is stopped`, async (t) => {
    const first = await start({ ports: [0] })
    t.teardown(() => first.close())
    const busy = first.addresses[0]?.http.port ?? 0
    const free = await start({ ports: [0] })
    const port = free.addresses[0]?.http.port ?? 0
    await free.close()
    await t.rejects(start({ ports: [port, busy], tcpPorts: [0, 0] }), {
      name: 'BalancerError',
      code: 'LISTEN_FAILED',
      message: `demo backend-2 can't listen on 127.0.0.1:${busy}: port ${busy} is in use; stop what holds it or choose another port`,
    })
    t.equal(await refused(port), true)
  })
}

t.test('a number of backends that is not possible is refused', async (t) => {
  for (const count of [0, -1, 1.5, 11, Number.NaN])
    await t.rejects(startDemoBackends({ count }), { code: 'CONFIG_INVALID', message: /take 1 to 10/ })
})

t.test('as a program it says where it listens and ends with its signal', async (t) => {
  const stop = new AbortController()
  const lines: string[] = []
  const running = runDemo({
    ports: [0],
    signal: stop.signal,
    write: (line) => {
      lines.push(line)
      stop.abort()
    },
  })
  await running
  t.match(lines, [/^backend-1 {2}http:\/\/127\.0\.0\.1:\d+ {2}tcp 127\.0\.0\.1:\d+$/])
  t.equal(await refused(Number(/:(\d+) /.exec(lines[0] ?? '')?.[1])), true)
  await runDemo({ ports: [0], signal: AbortSignal.abort(), write: () => t.fail('never started') })
})

async function lineClient(t: Test) {
  const demo = await startDemoBackends({ ports: [0] })
  t.teardown(() => demo.close())
  return rawClient(t, demo.addresses[0]?.tcp.port ?? 0)
}

t.test('the line echo greets, then echoes lines as a whole', async (t) => {
  const client = await lineClient(t)
  await client.until((all) => all.includes('\n'))
  client.socket.write('one\ntwo\nthr')
  t.equal(String(await client.until((all) => all.includes('two\n'))), 'backend-1 ready\none\ntwo\n')
  client.socket.write('ee\n')
  t.equal(String(await client.until((all) => all.includes('three\n'))), 'backend-1 ready\none\ntwo\nthree\n')
})

t.test('what has no line end is echoed when the client ends', async (t) => {
  const client = await lineClient(t)
  client.socket.end('one\nlast')
  t.equal(String(await client.ended()), 'backend-1 ready\none\nlast')
})

t.test('a line without end is not stored without limit, and megabytes come back whole', async (t) => {
  const client = await lineClient(t)
  const long = Buffer.alloc(200_000, 'x')
  client.socket.write(long)
  await client.until((all) => all.length > 100_000)
  t.pass('a long line is echoed before it ends')
  const many = Buffer.alloc(5_000_000, 'some line\n')
  client.socket.end(many)
  const all = await client.ended()
  t.ok(all.equals(Buffer.concat([Buffer.from('backend-1 ready\n'), long, many])))
})
