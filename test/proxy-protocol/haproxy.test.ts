/** The PROXY protocol spoken with the real haproxy: it in front of us, and behind. */
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { fields, flowOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect, roundTrip } from '../support/raw.ts'
import { needs, startHaproxy } from './fixtures/peers.ts'
import { connectFrom, refusals } from './fixtures/rig.ts'

const skip = needs('haproxy')
const certificate = await makeCertificate()
const pem = `${certificate.files['tls.pem']}${certificate.files['tls.key']}`
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const ALL_OPTIONS = 'proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,cert-key,cert-sig,ssl-cipher'
const WAYS = {
  v1: 'send-proxy',
  v2: 'send-proxy-v2',
  'v2 with a checksum and a unique id': 'send-proxy-v2 proxy-v2-options crc32c,unique-id',
  'v2 with all that it knows of TLS': `send-proxy-v2-ssl-cn ${ALL_OPTIONS}`,
}

async function connectTls(port: number): Promise<TLSSocket> {
  const socket = tlsConnect({ port, host: '127.0.0.1', servername: 'localhost', ca: certificate.ca })
  await within(once(socket, 'secureConnect'), 'a handshake')
  return socket
}

const answer = async (socket: TLSSocket, bytes: string): Promise<string> => {
  socket.write(bytes)
  const [got] = (await within(once(socket, 'data'), 'an answer')) as [Buffer]
  return got.toString()
}

t.test('haproxy in front', { skip }, async (t) => {
  const echo = await startTcpBackend(t)
  const backend = await startBackend(t)
  const service = (protocol: string, more: object = {}): object => ({
    protocol,
    listen: ['127.0.0.1:0'],
    health: { type: 'none' },
    backends: [protocol === 'tcp' || protocol === 'tls' ? echo.address : backend.address],
    proxyProtocol: { accept: 'any', from: ['127.0.0.1'] },
    ...(protocol === 'tls' || protocol === 'https' ? { tls: certificate.tls } : {}),
    ...more,
  })
  const balancer = await startBalancer(
    t,
    { virtualServices: { tcp: service('tcp'), tls: service('tls'), http: service('http'), https: service('https') } },
    { files: certificate.files },
  )
  const listen = (name: string, bind: string, mode: string, to: string, way: string) =>
    `listen ${name.replaceAll(/\W/g, '-')}\n  mode ${mode}\n  bind ${bind}\n  unique-id-format %{+X}o%ci%cp%ts%rt\n` +
    `  server us 127.0.0.1:${balancer.port(to)} ${way}\n`
  const ways = Object.entries(WAYS)
  const { dir, ports } = await startHaproxy(t, ways.length * 4 + 1, { 'tls.pem': pem }, (setup) => {
    const bind = (i: number) => `127.0.0.1:${setup.ports[i]}`
    const crt = `ssl crt ${setup.dir}/tls.pem`
    return [
      ...ways.flatMap(([, way], i) => [
        listen(`tcp-${i}`, bind(i * 4), 'tcp', 'tcp', way),
        listen(`offloaded-${i}`, `${bind(i * 4 + 1)} ${crt}`, 'tcp', 'tcp', way),
        listen(`passed-${i}`, bind(i * 4 + 2), 'tcp', 'https', way),
        listen(`http-${i}`, bind(i * 4 + 3), 'http', 'http', way),
      ]),
      listen('unix-v1', `unix@${setup.dir}/v1.sock`, 'tcp', 'tcp', 'send-proxy'),
      listen('unix-v2', `unix@${setup.dir}/v2.sock`, 'tcp', 'tcp', 'send-proxy-v2'),
      // Its probe of our port begins with a LOCAL header.
      listen('checked', bind(ways.length * 4), 'http', 'http', 'send-proxy-v2 check inter 100ms').replace(
        '  server',
        '  option httpchk GET /check HTTP/1.1\n  http-check send hdr Host a.test\n  server',
      ),
    ].join('')
  })

  for (const [i, [title]] of ways.entries()) {
    const [tcp = 0, offloaded = 0, passed = 0, http = 0] = ports.slice(i * 4, i * 4 + 4)

    t.test(`${title}: a TCP client is the one that haproxy names`, async (t) => {
      const client = await connectFrom('127.0.0.3', tcp)
      const port = client.socket.localPort // one of haproxy's probes may have the same, to us
      client.send('hello')
      t.equal((await client.readBytes(5)).toString(), 'hello')
      client.end()
      await client.untilClosed()
      t.strictSame(fields(await flowOf(balancer, port, 'tcp'), 'client', 'bytesIn'), ['127.0.0.3', 5])
    })

    t.test(`${title}: a client whose TLS ended at haproxy`, async (t) => {
      const socket = await connectTls(offloaded)
      const port = socket.localPort
      t.equal(await answer(socket, 'hello'), 'hello')
      socket.end()
      t.strictSame(fields(await flowOf(balancer, port, 'tcp'), 'client', 'protocol'), ['127.0.0.1', 'tcp'])
    })

    t.test(`${title}: TLS goes through haproxy and ends here`, async (t) => {
      const socket = await connectTls(passed)
      const port = socket.localPort
      t.match(await answer(socket, GET), /^HTTP\/1\.1 200 /)
      const { fields } = backend.requests.findLast(({ target }) => target !== '/check') ?? { fields: [] } // haproxy's probe comes between
      t.strictSame(valuesOf(fields, 'x-forwarded-port'), [String(passed)])
      socket.end()
      t.equal((await flowOf(balancer, port, 'https'))['protocol'], 'https')
    })

    t.test(`${title}: HTTP requests of two clients each name their own`, async (t) => {
      const clients = await Promise.all(['127.0.0.3', '127.0.0.4'].map((from) => connectFrom(from, http)))
      for (let round = 0; round < 2; round++)
        for (const [n, client] of clients.entries()) {
          client.send(GET)
          t.equal((await client.readResponse()).status, 200)
          const { fields } = backend.requests.findLast(({ target }) => target === '/') ?? { fields: [] }
          t.strictSame(valuesOf(fields, 'x-forwarded-for'), [`127.0.0.${n + 3}`])
        }
      for (const client of clients) client.destroy()
    })
  }

  for (const version of ['v1', 'v2'])
    t.test(`${version}: a client on a UNIX socket leaves haproxy as the peer`, async (t) => {
      const socket = dial(join(dir, `${version}.sock`))
      socket.write('hello')
      const [bytes] = (await within(once(socket, 'data'), 'an echo')) as [Buffer]
      t.equal(bytes.toString(), 'hello')
      socket.destroy()
    })

  t.test("haproxy's own probe is served, as from haproxy", async (t) => {
    const probe = await eventually('a probe', () => backend.requests.find(({ target }) => target === '/check'))
    t.strictSame(valuesOf(probe.fields, 'x-forwarded-for'), ['127.0.0.1'])
  })

  t.test('no header of haproxy was refused', async (t) => {
    for (const name of ['tcp', 'tls', 'http', 'https']) t.equal(await refusals(balancer, name), 0, name)
  })
})

t.test('haproxy behind', { skip }, async (t) => {
  const text = '%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]'
  const { ports } = await startHaproxy(
    t,
    1,
    {},
    (setup) => `frontend f
  mode http
  bind 127.0.0.1:${setup.ports[0]} accept-proxy
  http-request return status 200 content-type text/plain lf-string "${text}"
`,
  )
  const service = (protocol: string, sendProxy: string, more: object = {}): object => ({
    protocol,
    listen: ['127.0.0.1:0'],
    health: { type: 'none' },
    backends: [`127.0.0.1:${ports[0]}`],
    sendProxy,
    ...(protocol === 'tls' || protocol === 'https' ? { tls: certificate.tls } : {}),
    ...more,
  })
  const kinds = ['tcp', 'tls', 'http', 'https']
  const named = (sendProxy: string) => kinds.map((kind) => [`${kind}-${sendProxy}`, service(kind, sendProxy)] as const)
  const v6 = { listen: ['[::1]:0'] }
  const balancer = await startBalancer(
    t,
    {
      virtualServices: {
        ...Object.fromEntries([...named('v1'), ...named('v2')]),
        'v6-v1': service('http', 'v1', v6),
        'v6-v2': service('tcp', 'v2', v6),
        none: service('http', 'off'),
      },
    },
    { files: certificate.files },
  )

  for (const version of ['v1', 'v2']) {
    for (const kind of ['tcp', 'http'])
      t.test(`${version}: haproxy hears of the client of ${kind}, on every request of its connection`, async (t) => {
        const port = balancer.port(`${kind}-${version}`)
        const clients = [await connect(port), await connectFrom('127.0.0.5', port)]
        for (let round = 0; round < 2; round++)
          for (const [n, client] of clients.entries()) {
            client.send(GET)
            const { body } = await client.readResponse()
            const address = n === 0 ? '127.0.0.1' : '127.0.0.5'
            t.equal(body.toString().trim(), `${address} ${client.socket.localPort} 127.0.0.1 ${port}`)
          }
        for (const client of clients) client.destroy()
      })

    for (const kind of ['tls', 'https'])
      t.test(
        `${version}: haproxy hears of the client of ${kind}${version === 'v2' ? ', and its name' : ''}`,
        async (t) => {
          const port = balancer.port(`${kind}-${version}`)
          const socket = await connectTls(port)
          const body = (await answer(socket, GET)).split('\r\n\r\n')[1]
          const name = version === 'v2' ? ' localhost' : ''
          t.equal(body?.trim(), `127.0.0.1 ${socket.localPort} 127.0.0.1 ${port}${name}`)
          socket.destroy()
        },
      )

    t.test(`${version}: haproxy hears of a client of IPv6`, async (t) => {
      const port = balancer.port(`v6-${version}`)
      const client = await connectFrom('::1', port)
      client.send(GET)
      const { body } = await client.readResponse()
      t.equal(body.toString().trim(), `::1 ${client.socket.localPort} ::1 ${port}`)
      client.destroy()
    })
  }

  t.test('without a header haproxy refuses us', async (t) => {
    t.equal((await roundTrip(balancer.port('none'), GET)).status, 502)
  })
})
