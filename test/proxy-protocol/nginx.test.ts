/** The PROXY protocol spoken with the real nginx: it behind us, and, with its stream module, in front. */
import { once } from 'node:events'
import { connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { fields, flowOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { needs, needsStream, nginxPaths, startNginx } from './fixtures/peers.ts'
import { connectFrom, refusals } from './fixtures/rig.ts'

const certificate = await makeCertificate()
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const VARIABLES = '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port'

t.test('nginx behind', { skip: needs('nginx') }, async (t) => {
  const { ports } = await startNginx(
    t,
    1,
    (setup) => `http {
  ${nginxPaths(setup)}
  server {
    listen 127.0.0.1:${setup.ports[0]} proxy_protocol;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    default_type text/plain;
    location / { return 200 "${VARIABLES} $remote_addr"; }
  }
}
`,
  )
  const service = (protocol: string, sendProxy: string, listen = '127.0.0.1:0'): object => ({
    protocol,
    listen: [listen],
    health: { type: 'none' },
    backends: [`127.0.0.1:${ports[0]}`],
    sendProxy,
    ...(protocol === 'https' ? { tls: certificate.tls } : {}),
  })
  const versions = ['v1', 'v2']
  const named = (version: string) => [
    [`tcp-${version}`, service('tcp', version)],
    [`http-${version}`, service('http', version)],
    [`https-${version}`, service('https', version)],
    [`v6-${version}`, service('http', version, '[::1]:0')],
  ]
  const balancer = await startBalancer(
    t,
    { virtualServices: Object.fromEntries(versions.flatMap(named)) },
    { files: certificate.files },
  )

  for (const version of versions) {
    for (const [name, from] of [
      ['tcp', '127.0.0.6'],
      ['http', '127.0.0.6'],
      ['v6', '::1'],
    ] as const)
      t.test(`${version}: nginx takes the client of ${name} as its own`, async (t) => {
        const port = balancer.port(`${name}-${version}`)
        const to = from === '::1' ? '::1' : '127.0.0.1'
        const client = await connectFrom(from, port)
        for (let round = 0; round < 2; round++) {
          client.send(GET)
          const { body } = await client.readResponse()
          t.equal(body.toString(), `${from} ${client.socket.localPort} ${to} ${port} ${from}`)
        }
        client.destroy()
      })

    t.test(`${version}: nginx takes the client of https as its own`, async (t) => {
      const port = balancer.port(`https-${version}`)
      const socket = tlsConnect({ port, host: '127.0.0.1', servername: 'localhost', ca: certificate.ca })
      await within(once(socket, 'secureConnect'), 'a handshake')
      socket.write(GET)
      const [bytes] = (await within(once(socket, 'data'), 'an answer')) as [Buffer]
      t.match(bytes.toString(), `127.0.0.1 ${socket.localPort} 127.0.0.1 ${port} 127.0.0.1`)
      socket.destroy()
    })
  }
})

t.test('nginx in front', { skip: needsStream() }, async (t) => {
  const echo = await startTcpBackend(t)
  const backend = await startBackend(t)
  const service = (protocol: string, address: string): object => ({
    protocol,
    listen: ['127.0.0.1:0'],
    health: { type: 'none' },
    backends: [address],
    proxyProtocol: { accept: 'v1', from: ['127.0.0.0/8'] },
  })
  const balancer = await startBalancer(t, {
    virtualServices: { tcp: service('tcp', echo.address), http: service('http', backend.address) },
  })
  const { ports } = await startNginx(
    t,
    2,
    (setup) => `stream {
  proxy_protocol on;
  server { listen 127.0.0.1:${setup.ports[0]}; proxy_pass 127.0.0.1:${balancer.port('tcp')}; }
  server { listen 127.0.0.1:${setup.ports[1]}; proxy_pass 127.0.0.1:${balancer.port('http')}; }
}
`,
    true,
  )

  t.test('a TCP client is the one that nginx names', async (t) => {
    const client = await connectFrom('127.0.0.7', ports[0] ?? 0)
    const port = client.socket.localPort
    client.send('hello')
    t.equal((await client.readBytes(5)).toString(), 'hello')
    client.end()
    await client.untilClosed()
    t.strictSame(fields(await flowOf(balancer, port), 'client', 'reason'), ['127.0.0.7', ''])
  })

  t.test('an HTTP backend is told the client that nginx names', async (t) => {
    const client = await connectFrom('127.0.0.7', ports[1] ?? 0)
    client.send(GET)
    t.equal((await client.readResponse()).status, 200)
    const { fields } = backend.requests.at(-1) ?? { fields: [] }
    t.strictSame(valuesOf(fields, 'x-forwarded-for'), ['127.0.0.7'])
    t.strictSame(valuesOf(fields, 'x-forwarded-port'), [String(ports[1])])
    client.destroy()
    t.equal(await refusals(balancer, 'http'), 0)
  })
})
