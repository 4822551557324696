/** A balancer that orders its certificates from Let's Encrypt's test authority, as its users see it. */
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { aName } from '../acme/fixtures/kept.ts'
import { noPebble, type Pebble, startPebble } from '../acme/fixtures/pebble.ts'
import { run } from '../cli/support.ts'
import { refusedPort, startBackend, type Teardown } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

interface Shape {
  readonly names: readonly string[]
  readonly challenge: 'http-01' | 'tls-alpn-01'
  readonly threads?: number
  readonly engine?: string
}

async function balanced(
  t: Teardown,
  pebble: Pebble,
  { names, challenge, threads = 2, engine }: Shape,
): Promise<Balancer> {
  const backend = await startBackend(t)
  const backends = [`127.0.0.1:${backend.port}`]
  const http = engine === undefined ? {} : { http: { engine } }
  const config = {
    appliance: {
      threads,
      acme: { acceptTerms: true, directory: pebble.directory, ca: pebble.ca, challenge, email: 'ops@example.com' },
    },
    virtualServices: {
      // It redirects everything, and lets nobody in: the authority is answered before.
      web: {
        listen: [`127.0.0.1:${pebble.httpPort}`],
        protocol: 'http',
        backends,
        filters: [
          { access: { rules: [{ deny: { from: ['0.0.0.0/0'] } }] } },
          { redirect: { status: 301, scheme: 'https' } },
        ],
        ...http,
      },
      shop: {
        listen: [`127.0.0.1:${pebble.tlsPort}`],
        protocol: 'https',
        backends,
        tls: { certificates: [{ acme: names }] },
        ...http,
      },
    },
  }
  return startBalancer(t, config)
}

async function handshake(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ...options })
  await once(socket, 'secureConnect')
  return socket
}

async function issuerAt(port: number, servername: string): Promise<string> {
  const socket = await handshake(port, { servername, rejectUnauthorized: false })
  const issuer = socket.getPeerX509Certificate()?.issuer ?? ''
  socket.destroy()
  return issuer
}

for (const challenge of ['http-01', 'tls-alpn-01'] as const)
  t.test(
    `the names of a service get a certificate by ${challenge}, which is served without a restart`,
    { skip: noPebble },
    async (t) => {
      const pebble = await startPebble(t, { badNonces: 20 })
      const names = [aName(), aName()]
      const balancer = await balanced(t, pebble, { names, challenge })
      const [name = ''] = names
      t.equal(await issuerAt(pebble.tlsPort, name), 'CN=evenkeel temporary')
      // Clients are served meanwhile, by the same connection too.
      const client = await handshake(pebble.tlsPort, { servername: name, rejectUnauthorized: false })
      await eventually(
        'the certificate',
        async () => (await issuerAt(pebble.tlsPort, name)).includes('Pebble') || undefined,
        15_000,
      )
      client.write(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
      const [answer] = (await once(client, 'data')) as [Buffer]
      t.match(answer.toString('latin1'), /^HTTP\/1\.1 200 /)
      client.destroy()
      const ca = await pebble.root()
      for (const servername of names) {
        const socket = await handshake(pebble.tlsPort, { servername, ca })
        t.equal(socket.authorized, true)
        socket.destroy()
      }
      t.match(await balancer.metrics(), /^evenkeel_acme_orders_total\{result="issued"\} 1$/m)
      t.notMatch(await balancer.metrics(), 'handshake_failures_total{service="shop",reason="protocol"} 1')
      const { stdout } = await run(t, ['certs', 'list', '--admin', balancer.admin])
      t.match(stdout, /Pebble.* shop +ok, renewed 20\d\d-\d\d-\d\d\n/)
      t.same((await balancer.status())['problems'], [])
      const answered = await fetch(`http://127.0.0.1:${pebble.httpPort}/.well-known/acme-challenge/abc`, {
        redirect: 'manual',
      })
      t.equal(answered.status, 403, 'what is no token is a request like others')
      const log = await balancer.accessLog()
      t.equal(
        log.filter(({ status, backend }) => status === 200 && backend === '').length >=
          (challenge === 'http-01' ? 2 : 0),
        true,
      )
    },
  )

t.test('the engine http-proxy answers authorities as well', { skip: noPebble }, async (t) => {
  const pebble = await startPebble(t)
  const names = [aName()]
  await balanced(t, pebble, { names, challenge: 'http-01', threads: 1, engine: 'http-proxy' })
  const issued = await eventually(
    'the certificate',
    async () => /Pebble/.exec(await issuerAt(pebble.tlsPort, names[0] ?? '')) ?? undefined,
    15_000,
  )
  t.ok(issued)
})

t.test(
  'who asks with acme-tls/1 where nothing is to be proved is refused, and others are served',
  { skip: noPebble },
  async (t) => {
    const pebble = await startPebble(t)
    const names = [aName()]
    await balanced(t, pebble, { names, challenge: 'tls-alpn-01', threads: 1 })
    await eventually(
      'the certificate',
      async () => (await issuerAt(pebble.tlsPort, names[0] ?? '')).includes('Pebble') || undefined,
      15_000,
    )
    await t.rejects(
      handshake(pebble.tlsPort, {
        servername: names[0] ?? '',
        ALPNProtocols: ['acme-tls/1'],
        rejectUnauthorized: false,
      }),
      { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' },
    )
    t.match(await issuerAt(pebble.tlsPort, names[0] ?? ''), 'Pebble')
  },
)

t.test('a reload brings an authority, names, and takes them away', { skip: noPebble }, async (t) => {
  const pebble = await startPebble(t)
  const backend = await startBackend(t)
  const backends = [`127.0.0.1:${backend.port}`]
  const [one, two] = [aName(), aName()]
  const web = { listen: [`127.0.0.1:${pebble.httpPort}`], protocol: 'http', backends }
  const acme = { acceptTerms: true, directory: pebble.directory, ca: pebble.ca }
  const shop = (names: string[]) => ({
    listen: [`127.0.0.1:${pebble.tlsPort}`],
    protocol: 'https',
    backends,
    tls: { certificates: [{ acme: names }] },
  })
  const balancer = await startBalancer(t, { appliance: { threads: 2 }, virtualServices: { web } })
  const reload = async (config: object): Promise<unknown> => {
    await balancer.rewrite(config)
    const { stdout } = await run(t, ['reload', '--json', '--admin', balancer.admin])
    return JSON.parse(stdout)
  }
  const names = async (): Promise<string> => {
    const socket = await handshake(pebble.tlsPort, { servername: one, rejectUnauthorized: false })
    const { issuer = '', subjectAltName = '' } = socket.getPeerX509Certificate() ?? {}
    socket.destroy()
    return `${issuer} ${subjectAltName}`
  }
  const until = (wanted: RegExp): Promise<unknown> =>
    eventually('the certificate', async () => wanted.exec(await names()) ?? undefined, 15_000)
  const first = { appliance: { threads: 2, acme }, virtualServices: { web, shop: shop([one]) } }
  t.match(await reload(first), { result: 'applied', changes: { added: ['shop'] } })
  t.match(await names(), 'CN=evenkeel temporary')
  await until(/Pebble/)
  const more = {
    appliance: { threads: 2, acme: { ...acme, challenge: 'tls-alpn-01' } },
    virtualServices: { web, shop: shop([one, two]) },
  }
  t.match(await reload(more), { result: 'applied', changes: { changed: ['shop'] } })
  t.match(await names(), /Pebble/, 'the one before stands in')
  await until(new RegExp(`Pebble.*${two}`))
  t.match(await balancer.metrics(), /^evenkeel_acme_orders_total\{result="issued"\} 2$/m)
  const broken = { ...more, appliance: { threads: 2, acme: { ...acme, ca: 'nowhere.pem' } } }
  t.match(await reload(broken), { result: 'failed', sentence: /nowhere\.pem does not exist/ })
  const elsewhere = { ...more, appliance: { threads: 2, acme: { ...acme, folder: 'other' } } }
  t.match(await reload(elsewhere), { result: 'applied' })
  t.match(await names(), 'CN=evenkeel temporary')
  await until(new RegExp(`Pebble.*${two}`))
  t.match(await reload({ appliance: { threads: 2 }, virtualServices: { web } }), {
    result: 'applied',
    changes: { removed: ['shop'] },
  })
})

t.test('without an authority the balancer serves with a temporary certificate, and says why', async (t) => {
  const port = await refusedPort()
  const backend = await startBackend(t)
  const balancer = await startBalancer(t, {
    appliance: { threads: 1, acme: { acceptTerms: true, directory: `https://127.0.0.1:${port}/dir` } },
    virtualServices: {
      shop: {
        listen: ['127.0.0.1:0'],
        protocol: 'https',
        backends: [`127.0.0.1:${backend.port}`],
        tls: { certificates: [{ acme: ['shop.example.com'] }] },
      },
    },
  })
  t.equal(await issuerAt(balancer.port('shop'), 'shop.example.com'), 'CN=evenkeel temporary')
  const why =
    /the certificate for shop\.example\.com is a temporary one: 127\.0\.0\.1:\d+: connect failed: ECONNREFUSED/
  await eventually('the problem', async () => {
    const { problems } = (await balancer.status()) as { problems: { message: string }[] }
    return problems.some(({ message }) => why.test(message)) || undefined
  })
  const { stdout, code } = await run(t, ['certs', 'list', '--admin', balancer.admin])
  t.equal(code, 0)
  t.match(stdout, /temporary, tried again 20\d\d-\S+: 127\.0\.0\.1/)
  t.match(await balancer.metrics(), /^evenkeel_acme_orders_total\{result="failed"\} 1$/m)
  const started = performance.now()
  t.equal((await balancer.stop()).code, 0)
  t.ok(performance.now() - started < 5000)
})
