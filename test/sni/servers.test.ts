/** SNI routing with real programs: openssl's clients of every version, TLS servers of node, haproxy as the oracle. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { needs, startHaproxy } from '../proxy-protocol/fixtures/peers.ts'
import { startAnnouncedBackend } from '../proxy-protocol/fixtures/rig.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { noOpenssl } from '../tls/fixtures/openssl.ts'
import { ECH, extension, GREASE, hello, sni } from './fixtures/hello.ts'
import { answerTo, read, service, startNamed } from './fixtures/named.ts'

const authority = await makeAuthority('sni tests', 2)

/** A server that echoes, with a certificate for `name`. */
async function startServer(name: string): Promise<string> {
  const { cert, key } = await makeLeaf(authority, [name], 2)
  const server = createServer({ cert, key, minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' })
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const [one, two] = await Promise.all([startServer('one.test'), startServer('*.two.test')])
const routes = [
  { sni: 'one.test', pool: 'one' },
  { sni: '*.two.test', pool: 'two' },
]
const balancer = await startBalancer(t, {
  appliance: { threads: 2 },
  virtualServices: {
    main: service(routes, { one, two }),
    kept: service(routes, { one, two }, { affinity: { type: 'tls-session', fallback: 'source-ip' } }),
  },
})

/** What `openssl s_client` says, after it has sent a line and read it back. */
async function openssl(port: number, ...args: string[]): Promise<string> {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-quiet', '-no_ign_eof', ...args])
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  child.stdin.write('a line\n')
  const ended = once(child, 'close')
  await Promise.race([ended, eventually('an echo', () => output.includes('a line'))])
  child.stdin.end()
  child.kill()
  await ended
  return output
}

for (const version of ['-tls1', '-tls1_1', '-tls1_2', '-tls1_3'])
  t.test(
    `openssl ${version} comes through to the server with the certificate of its name`,
    { skip: noOpenssl },
    async (t) => {
      const old = ['-cipher', 'ALL:@SECLEVEL=0']
      const { dir, port } = { dir: t.testdir({ 'ca.pem': authority.cert }), port: balancer.port('main') }
      for (const name of ['one.test', 'a.two.test']) {
        const trust = ['-CAfile', `${dir}/ca.pem`, '-verify_return_error', '-verify_hostname', name]
        t.match(await openssl(port, version, ...old, ...trust, '-servername', name), /a line/)
      }
      const said = await openssl(port, version, ...old, '-servername', 'three.test')
      t.match(said, /unrecognized name/)
      t.match(await openssl(port, version, ...old, '-noservername'), /unrecognized name/)
    },
  )

async function session(of: Balancer, name: string, servername: string, resumed?: Buffer): Promise<TLSSocket> {
  const socket = tlsConnect({
    port: of.port(name),
    host: '127.0.0.1',
    servername,
    ca: authority.cert,
    ...(servername === '' ? { checkServerIdentity: () => undefined } : {}),
    maxVersion: 'TLSv1.2',
    ...(resumed === undefined ? {} : { session: resumed }),
  })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await within(once(socket, 'secureConnect'), 'a handshake')
  return socket
}

t.test('affinity by TLS session works on top, in the pool of the name', async (t) => {
  for (const name of ['one.test', 'b.two.test']) {
    const first = await session(balancer, 'kept', name)
    const ticket = first.getSession()
    const again = await session(balancer, 'kept', name, ticket)
    t.equal(again.isSessionReused(), true)
  }
})

t.test('PROXY headers tell the backend the name, ahead of the handshake as it came', async (t) => {
  const { backend, announced } = await startAnnouncedBackend(t)
  const named = await startNamed(t, 'named')
  const proxied = await startBalancer(t, {
    virtualServices: {
      main: service([{ sni: 'one.test', pool: 'one' }], { one: backend.address }, { sendProxy: 'v2' }),
      behind: service(
        [{ sni: 'one.test', pool: 'one' }],
        { one: named.address },
        { proxyProtocol: { accept: 'any', from: ['127.0.0.1'] } },
      ),
    },
  })
  const client = await connect(proxied.port('main'))
  const bytes = hello([sni('one.test')])
  client.send(bytes)
  const seen = await eventually('the header', () => announced[0]?.header)
  t.match(seen, { authority: 'one.test', ends: { remotePort: client.socket.localPort } })
  client.destroy()

  const header = Buffer.from('PROXY TCP4 192.0.2.9 192.0.2.1 1000 443\r\n')
  const introduced = await connect(proxied.port('behind'))
  introduced.send(Buffer.concat([header, bytes]))
  const { name, echo } = await read(introduced, bytes.length)
  t.equal(name, 'named')
  t.ok(echo.equals(bytes), 'without the header that was for us')
})

t.test('haproxy leads the same hellos to the same backends', { skip: needs('haproxy') }, async (t) => {
  const backends = await Promise.all(['one', 'two', 'rest'].map((name) => startNamed(t, name)))
  const [a = '', b = '', c = ''] = backends.map(({ address }) => address)
  const us = await startBalancer(t, {
    virtualServices: { main: service(routes, { one: a, two: b }, { backends: [c] }) },
  })
  const { ports } = await startHaproxy(t, 1, {}, (setup) =>
    [
      `frontend f\n  mode tcp\n  bind 127.0.0.1:${setup.ports[0]}\n  tcp-request inspect-delay 1s`,
      '  tcp-request content accept if { req.ssl_hello_type 1 } or !{ req.len 0 }',
      '  use_backend one if { req.ssl_sni -i one.test }\n  use_backend two if { req.ssl_sni -i -m end .two.test }',
      '  default_backend rest',
      ...[`one ${a}`, `two ${b}`, `rest ${c}`].map((each) => {
        const [name = '', address = ''] = each.split(' ')
        return `backend ${name}\n  mode tcp\n  server s ${address}`
      }),
      '',
    ].join('\n'),
  )
  const hellos: [title: string, bytes: Buffer][] = [
    ...['one.test', 'ONE.test', 'x.two.test', 'y.x.two.test', 'three.test', 'one.testx', 'two.test'].map(
      (name): [string, Buffer] => [name, hello([GREASE, sni(name), ECH])],
    ),
    ['none', hello([GREASE])],
    ['TLS 1.0', hello([sni('one.test')], 0x0301)],
    ['without extensions', hello(null)],
    ['large', hello([extension(0x1234, Buffer.alloc(4000)), sni('one.test')])],
    ['no TLS', Buffer.from('SSH-2.0-client\r\n')],
  ]
  for (const [title, bytes] of hellos) {
    const [ours, theirs] = await Promise.all([answerTo(us.port('main'), bytes), answerTo(ports[0] ?? 0, bytes)])
    t.equal(ours.name, theirs.name, title)
    t.ok(ours.echo.equals(theirs.echo), `${title}, byte for byte`)
  }
})

t.test('where TLS ends here routes go by the same name', async (t) => {
  const backends = await Promise.all(['one', 'two'].map((name) => startNamed(t, name)))
  const [a = '', b = ''] = backends.map(({ address }) => address)
  const pair = await makeLeaf(authority, ['one.test', '*.two.test'], 2)
  const ended = await startBalancer(
    t,
    {
      virtualServices: {
        main: service(
          routes,
          { one: a, two: b },
          { protocol: 'tls', tls: { certificates: [{ cert: 'c.pem', key: 'c.key' }] } },
        ),
      },
    },
    { files: { 'c.pem': pair.cert, 'c.key': pair.key } },
  )
  for (const [name, to] of [
    ['ONE.test', 'one:'],
    ['a.two.test', 'two:'],
  ] as const) {
    const socket = await session(ended, 'main', name)
    const [said] = (await within(once(socket, 'data'), 'a name')) as [Buffer]
    t.equal(said.toString(), to)
  }
  const stranger = await session(ended, 'main', '')
  await eventually('a reset', () => stranger.closed)
  t.match(stranger.errored, { code: 'ECONNRESET' })
  t.match(await ended.metrics(), /request_errors_total\{service="main",reason="no-route"\} 1\n/)
})
