/** TLS towards backends: who is believed, who we are, sessions, and what both engines and probes make of it. */
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer, type TlsOptions } from 'node:tls'
import t from 'tap'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { ENGINE } from '../support/differences.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { Authority, type IssuedFiles, noOpenssl } from '../tls/fixtures/openssl.ts'
import { echoed, flow, reload } from './fixtures/reloads.ts'

t.test('TLS towards backends', { skip: noOpenssl }, async (t) => {
  const dir = t.testdir({ ours: {}, theirs: {} })
  const ours = new Authority(join(dir, 'ours'), 'ours')
  const theirs = new Authority(join(dir, 'theirs'), 'theirs')
  const named = ours.issue({ names: ['backend.test'] })
  const addressed = ours.issue({ names: ['127.0.0.1'] })
  const stranger = theirs.issue({ names: ['127.0.0.1', 'backend.test'] })
  const old = ours.issue({ names: ['127.0.0.1'], days: -1 })
  const client = ours.issue({ names: [], subject: '/CN=balancer' })

  const pairOf = ({ cert, key }: IssuedFiles) => ({ cert: readFileSync(cert), key: readFileSync(key) })
  const pinOf = ({ cert }: IssuedFiles): string => {
    const key = new X509Certificate(readFileSync(cert)).publicKey.export({ type: 'spki', format: 'der' })
    return createHash('sha256').update(key).digest('base64')
  }

  /** Answers with what it saw of the connection that a request came over. */
  async function serve(files: IssuedFiles, options: TlsOptions = {}): Promise<string> {
    const server = createHttpsServer({ ...pairOf(files), ...options }, (request, response) => {
      const socket = request.socket as import('node:tls').TLSSocket
      const saw = {
        name: socket.servername,
        peer: socket.getPeerX509Certificate()?.subject,
        reused: socket.isSessionReused(),
        alpn: socket.alpnProtocol,
        port: socket.remotePort,
      }
      response.end(JSON.stringify(saw))
      if (request.url === '/close') socket.end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close().closeAllConnections())
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const addresses = {
    named: await serve(named),
    addressed: await serve(addressed),
    stranger: await serve(stranger),
    old: await serve(old),
    asking: await serve(addressed, { requestCert: true, rejectUnauthorized: true, ca: ours.pem }),
  }
  const service = (address: string, backendTls: object, more: object = {}): object => ({
    protocol: 'http',
    listen: ['127.0.0.1:0'],
    backendTls,
    health: { type: 'none' },
    backends: [address],
    ...more,
  })
  const ca = ours.cert
  const echo = createServer(pairOf(addressed), (socket) => socket.on('error', () => {}).pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  t.teardown(() => echo.close())

  const balancer = await startBalancer(t, {
    virtualServices: {
      named: service(addresses.named, { ca, serverName: 'backend.test' }),
      nameless: service(addresses.named, { ca }),
      addressed: service(addresses.addressed, { ca }),
      stranger: service(addresses.stranger, { ca }),
      runtime: service(addresses.addressed, {}),
      old: service(addresses.old, { ca }),
      pinned: service(addresses.addressed, { ca, pins: [pinOf(addressed)] }),
      mispinned: service(addresses.addressed, { ca, pins: [pinOf(named)] }),
      skipped: service(addresses.stranger, { insecureSkipVerify: true }),
      asking: service(addresses.asking, { ca, cert: client.cert, key: client.key }),
      unknown: service(addresses.asking, { ca }),
      fallback: service(addresses.stranger, { ca }, { backends: [addresses.stranger, addresses.addressed] }),
      relay: {
        ...service(`127.0.0.1:${(echo.address() as AddressInfo).port}`, { ca }),
        protocol: 'tcp',
      },
      other: service(addresses.named, { ca, serverName: 'backend.test' }, { http: { engine: 'http-proxy' } }),
      probed: service(
        addresses.named,
        { ca, serverName: 'backend.test' },
        { health: { type: 'https', interval: '1s' } },
      ),
      misprobed: service(
        addresses.addressed,
        { ca, pins: [pinOf(named)] },
        { health: { type: 'https', interval: '1s', fall: 1 } },
      ),
      shaken: service(addresses.stranger, { ca }, { health: { type: 'tls', interval: '1s', fall: 1 } }),
    },
  })

  const ask = async (name: string, path = '/', at: Balancer = balancer) => {
    const answer = await fetch(`http://127.0.0.1:${at.port(name)}${path}`)
    return { status: answer.status, saw: answer.ok ? ((await answer.json()) as Record<string, unknown>) : null }
  }

  t.test('a backend is verified by authority and name, by address where no name is given', async (t) => {
    t.match(await ask('named'), { status: 200, saw: { name: 'backend.test', alpn: 'http/1.1' } })
    t.match(await ask('addressed'), { status: 200, saw: { name: false } }, 'no address in SNI')
    t.match(await ask('other'), { status: 200, saw: { name: 'backend.test' } }, 'by the other engine too')
  })

  t.test('one that is not who it should be gets no request, and the log says why', async (t) => {
    for (const [name, why] of [
      ['nameless', 'the certificate is for another name'],
      ['stranger', 'the certificate is signed by an unknown authority'],
      ['runtime', 'the certificate is signed by an unknown authority'],
      ['old', 'the certificate has expired'],
      ['mispinned', 'the certificate has another key than those that are pinned'],
    ] as const) {
      t.match(await ask(name), { status: 503 }, name)
      await eventually(`a word of ${name}`, () =>
        balancer
          .stderr()
          .split('\n')
          .some((line) => line.includes(`"service":"${name}"`) && line.includes(why)),
      )
    }
    t.match(await ask('fallback'), { status: 200 }, 'another backend is tried')
  })

  t.test('a pinned key is believed beside authority and name', async (t) => {
    t.match(await ask('pinned'), { status: 200 })
  })

  t.test('insecureSkipVerify accepts anybody, and query says so', async (t) => {
    t.match(await ask('skipped'), { status: 200 })
    const { problems } = (await balancer.status()) as { problems: { service: string; message: string }[] }
    const told = problems.filter(({ service }) => service === 'skipped').map(({ message }) => message)
    t.match(told.join(), /backends are not verified \(backendTls\.insecureSkipVerify\)/)
  })

  t.test('a backend that asks for a certificate gets ours', async (t) => {
    t.match(await ask('asking'), { status: 200, saw: { peer: 'CN=balancer' } })
    t.match(await ask('unknown'), { status: /50[23]/ })
  })

  t.test('connections are kept, and a new one resumes the session', async (t) => {
    const first = await ask('addressed')
    const second = await ask('addressed')
    t.equal(first.saw?.['port'], second.saw?.['port'], 'the same connection')
    await ask('addressed', '/close')
    const third = await eventually('a new connection', async () => {
      const answer = await ask('addressed')
      return answer.saw !== null && answer.saw['port'] !== first.saw?.['port'] && answer.saw
    })
    t.equal(third['reused'], true)
  })

  t.test('without HTTP bytes go over TLS as they come, half-closed too', async (t) => {
    const socket = await connect(balancer.port('relay'))
    socket.send('hello')
    socket.end()
    await within(socket.untilClosed(), 'the end')
    t.equal(socket.pending.toString(), 'hello')
  })

  t.test('probes believe whom flows believe', async (t) => {
    const stateOf = async (name: string) => {
      const view = (await (await balancer.get(`/api/v1/services/${name}`)).json()) as {
        backends: { state: string; why: string }[]
      }
      return view.backends[0]
    }
    await eventually('up', async () => (await stateOf('probed'))?.state === 'up')
    for (const [name, why] of [
      ['misprobed', /another key than those that are pinned/],
      ['shaken', /signed by an unknown authority/],
    ] as const) {
      const down = await eventually('down', async () => {
        const backend = await stateOf(name)
        return backend?.state === 'down' && backend
      })
      t.match(down.why, why)
    }
  })

  t.test('another file of authorities is taken up by a reload, for flows and probes, without a restart', async (t) => {
    const config = {
      virtualServices: {
        one: service(
          addresses.stranger,
          { ca: 'trusted.pem' },
          { health: { type: 'https', path: '/', interval: '1s' } },
        ),
      },
    }
    const moved = await startBalancer(t, config, { files: { 'trusted.pem': ours.pem } })
    t.match(await ask('one', '/', moved), { status: 503 })
    writeFileSync(join(moved.dir, 'trusted.pem'), theirs.pem)
    await reload(moved)
    await eventually('the backend', async () => (await ask('one', '/', moved)).status === 200)
    t.match(await moved.status(), { problems: [] })
    await moved.stop()
  })

  t.test(
    'files are followed: a whole pair is used for new connections, a broken one is told of and is not',
    async (t) => {
      const second = ours.issue({ names: [], subject: '/CN=second' })
      const text = (file: string): string => readFileSync(file, 'utf8')
      const pair = { ca: 'ca.pem', cert: 'own.pem', key: 'own.key' }
      const config = {
        virtualServices: {
          asking: service(addresses.asking, pair),
          other: service(addresses.asking, pair, { http: { engine: 'http-proxy' } }),
          relay: { ...service(`127.0.0.1:${(echo.address() as AddressInfo).port}`, pair), protocol: 'tcp' },
        },
      }
      const files = { 'ca.pem': ours.pem, 'own.pem': text(client.cert), 'own.key': text(client.key) }
      const balancer = await startBalancer(t, config, { files })
      const write = (name: keyof typeof files, content: string): void =>
        writeFileSync(join(balancer.dir, name), content)
      const peers = async (): Promise<unknown[]> => {
        const asked = [await ask('asking', '/close', balancer), await ask('other', '/close', balancer)]
        return asked.map(({ saw }) => saw?.['peer'])
      }
      t.strictSame(await peers(), ['CN=balancer', 'CN=balancer'])
      const stream = await flow(balancer.port('relay'))
      write('own.pem', text(second.cert))
      await eventually('the log', () => balancer.stderr().includes('connections to backends are made as before'))
      t.match(balancer.stderr(), /own\.key does not belong to the certificate/)
      t.strictSame(await peers(), ['CN=balancer', 'CN=balancer'])
      write('own.key', text(second.key))
      await eventually('the new pair', async () => (await peers()).every((peer) => peer === 'CN=second'))
      write('ca.pem', theirs.pem)
      await eventually('the new authority', async () => (await ask('asking', '/close', balancer)).status === 503)
      write('ca.pem', ours.pem)
      await eventually('the old one again', async () => (await ask('asking', '/close', balancer)).status === 200)
      await echoed(stream)
      const status = (await balancer.status()) as { config?: { last: unknown } }
      t.equal(status.config?.last, null, 'nobody reloaded')
      stream.destroy()
    },
  )

  t.test('a handshake that hangs ends with the time of a connect', async (t) => {
    const { createServer: createPlain } = await import('node:net')
    const mute = createPlain()
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const hung = await startBalancer(t, {
      virtualServices: {
        hung: service(
          `127.0.0.1:${(mute.address() as AddressInfo).port}`,
          { ca },
          { timeouts: { connect: '300ms' }, retries: 0 },
        ),
      },
    })
    const begun = performance.now()
    t.match(await ask('hung', '/', hung), { status: 504 })
    t.ok(performance.now() - begun < 2000)
    await hung.stop()
    mute.close()
  })

  t.test('the file is refused where it can not be used', { skip: ENGINE !== 'native' && 'no engine' }, async (t) => {
    const { startBalancerExpectingFailure } = await import('../support/balancer.ts')
    const exit = await startBalancerExpectingFailure(t, {
      virtualServices: { a: service(addresses.named, { ca: '/none.pem' }) },
    })
    t.match(exit, { code: 1, stderr: /service a: CA file \/none\.pem does not exist/ })
  })
})
