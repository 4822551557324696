/** `protocol: tcp` with `routes` by the name in the handshake: who is led where, and who is turned away. */
import t from 'tap'
import { fields, flowOf } from '../e2e/fixtures/support.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { ECH, extension, GREASE, hello, helloMessage, inRecords, sni } from './fixtures/hello.ts'
import { answerTo, read, service, startNamed } from './fixtures/named.ts'

const [exact, below, rest] = await Promise.all(['exact', 'below', 'rest'].map((name) => startNamed(t, name)))
const addressOf = (backend: { address: string } | undefined): string => backend?.address ?? ''
const pools = { exact: addressOf(exact), below: addressOf(below) }
const routes = [
  { sni: 'shop.test', pool: 'exact' },
  { sni: ['*.shop.test', 'Other.Test'], pool: 'below' },
]
const balancer = await startBalancer(t, {
  appliance: { threads: 2 },
  virtualServices: {
    open: service(routes, pools, { backends: [addressOf(rest)] }),
    closed: service(routes, pools),
    byRoute: service([...routes, { pool: 'rest' }], { ...pools, rest: addressOf(rest) }),
    hasty: service(routes, pools, { backends: [addressOf(rest)], timeouts: { handshake: '300ms' } }),
  },
})

const LED: readonly (readonly [title: string, bytes: Buffer, to: string])[] = [
  ['an exact name', hello([sni('shop.test')]), 'exact'],
  ['in any case', hello([sni('SHOP.tesT')]), 'exact'],
  ['below a wildcard', hello([sni('a.shop.test')]), 'below'],
  ['two labels below a wildcard', hello([sni('b.a.shop.test')]), 'below'],
  ['the second name of a route', hello([sni('other.test')]), 'below'],
  ['another name', hello([sni('unknown.test')]), 'rest'],
  ['only the end of a name', hello([sni('notshop.test')]), 'rest'],
  ['the start of a name', hello([sni('shop.test.evil')]), 'rest'],
  ['a wildcard is no name', hello([sni('.shop.test')]), 'rest'],
  ['TLS 1.0', hello([sni('shop.test')], 0x0301), 'exact'],
  ['TLS 1.1', hello([sni('shop.test')], 0x0302), 'exact'],
  ['GREASE before it', hello([GREASE, sni('shop.test'), GREASE]), 'exact'],
  ['an encrypted ClientHello: the outer name', hello([ECH, sni('shop.test')]), 'exact'],
  ['behind a large extension', hello([extension(0x1234, Buffer.alloc(8000)), sni('shop.test')]), 'exact'],
  ['no extension of that kind', hello([GREASE]), 'rest'],
  ['no extensions at all', hello(null, 0x0301), 'rest'],
  ['a kind of name that is none', hello([sni({ kind: 1, name: 'shop.test' })]), 'rest'],
  ['an empty name', hello([sni('')]), 'rest'],
  ['a name with a NUL', hello([sni('shop.test\0.evil')]), 'rest'],
  ['a name with a line break', hello([sni('shop.test\r\nX')]), 'rest'],
  ['an empty list of names', hello([sni()]), 'rest'],
  ['several records', inRecords(helloMessage([sni('shop.test')]), 40), 'exact'],
  ['records of one byte', inRecords(helloMessage([sni('shop.test')]), 1), 'exact'],
  ['what is no TLS', Buffer.from('SSH-2.0-client\r\n'), 'rest'],
  ['the ClientHello of SSLv2', Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]), 'rest'],
]

for (const [title, bytes, to] of LED)
  t.test(`led by ${title}, with every byte: ${to}`, async (t) => {
    for (const name of ['open', 'byRoute']) {
      const got = await answerTo(balancer.port(name), bytes)
      t.equal(got.name, to, name)
      t.ok(got.echo.equals(bytes), 'byte for byte')
    }
  })

t.test('damage in the lengths of a handshake leads to the rest, and never past the bound', async (t) => {
  const whole = hello([sni('shop.test')])
  // Of the record, the session, the suites, the compressions, the extensions.
  for (const at of [3, 43, 76, 84, 86]) {
    const damaged = Buffer.from(whole)
    damaged[at] = 0xff
    const client = await connect(balancer.port('open'))
    client.send(Buffer.concat([damaged, Buffer.alloc(40 * 1024, 1)]))
    t.equal((await read(client, whole.length)).name, 'rest')
  }
})

t.test('byte by byte, with what follows in the same packet as the last', async (t) => {
  const bytes = hello([GREASE, sni('a.shop.test')])
  const client = await connect(balancer.port('open'))
  await client.sendSplit(bytes.subarray(0, -1), [1])
  client.send(Buffer.concat([bytes.subarray(-1), Buffer.from('early data')]))
  const { name, echo } = await read(client, bytes.length + 10)
  t.equal(name, 'below')
  t.ok(echo.equals(Buffer.concat([bytes, Buffer.from('early data')])))
})

t.test('where no route is left a client of TLS gets unrecognized_name, and others a reset', async (t) => {
  const errors = async (reason: string): Promise<number> => {
    const metric = new RegExp(`evenkeel_request_errors_total\\{service="closed",reason="${reason}"\\} (\\d+)`)
    return Number(metric.exec(await balancer.metrics())?.[1] ?? 0)
  }
  t.equal((await answerTo(balancer.port('closed'), hello([sni('shop.test')]))).name, 'exact')
  for (const names of [['unknown.test'], []]) {
    const client = await connect(balancer.port('closed'))
    const port = client.socket.localPort
    client.send(hello(names.length === 0 ? [GREASE] : [sni(...names)]))
    t.equal((await client.readUntilClose()).toString('hex'), '15030300020270')
    t.equal(client.ending, 'end')
    client.end()
    const line = await flowOf(balancer, port)
    t.strictSame(fields(line, 'host', 'endedBy', 'reason', 'phase', 'tries'), [names[0], 'us', 'no-route', 'head', 0])
  }
  const stranger = await connect(balancer.port('closed'))
  stranger.send('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n')
  t.equal(await stranger.untilClosed(), 'reset')
  t.equal(stranger.pending.length, 0)
  t.strictSame([await errors('no-route'), await errors('bad-request')], [2, 1])
})

t.test('a ClientHello that never ends is not waited for longer than the handshake may take', async (t) => {
  const begun = performance.now()
  const bytes = hello([sni('shop.test')])
  const clients = await Promise.all(
    [Buffer.alloc(0), bytes.subarray(0, 3), bytes.subarray(0, -1)].map(async (part) => {
      const client = await connect(balancer.port('hasty'))
      client.send(part)
      return client
    }),
  )
  for (const client of clients) t.equal(await client.untilClosed(), 'reset')
  const took = performance.now() - begun
  t.ok(took >= 300 && took < 3000, `${took} ms`)
  t.match(await balancer.metrics(), /request_errors_total\{service="hasty",reason="client-timeout"\} 3\n/)
  const left = await connect(balancer.port('hasty'))
  left.send(bytes.subarray(0, 20))
  left.reset()
  await eventually('its end', async () =>
    /request_errors_total\{service="hasty",reason="client-closed"\} 1\n/.test(await balancer.metrics()),
  )
})

t.test('the log tells the name, and a pool of its own counts its flows', async (t) => {
  const client = await connect(balancer.port('open'))
  const port = client.socket.localPort
  const bytes = hello([sni('A.shop.test')])
  client.send(bytes)
  await read(client, bytes.length)
  const line = await flowOf(balancer, port)
  t.strictSame(fields(line, 'protocol', 'host', 'backend', 'bytesIn'), ['tcp', 'a.shop.test', 'below-1', bytes.length])
})

t.test('a hello of 15 KiB is waited for, a longer one is not', async (t) => {
  const bytes = inRecords(helloMessage([extension(0x1234, Buffer.alloc(15_000)), sni('shop.test')]))
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect(balancer.port('open'))))
  for (const client of clients) client.send(bytes.subarray(0, -1))
  for (const client of clients) client.send(bytes.subarray(-1))
  for (const client of clients) t.equal((await read(client, bytes.length)).name, 'exact')
  const long = await connect(balancer.port('closed'))
  long.send(Buffer.concat([Buffer.from([22, 3, 1, 64, 0, 1, 0, 255, 255]), Buffer.alloc(16_380)]))
  t.equal(await long.untilClosed(), 'reset', 'one that says that it is longer than 16 KiB')
  const ended = await connect(balancer.port('open'))
  ended.end()
  t.equal(await ended.untilClosed(), 'reset', 'one that ends before it began')
})
