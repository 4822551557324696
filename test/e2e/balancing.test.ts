/** Hash keys and least time over the wire: two data threads, both HTTP engines, TCP. */
import t from 'tap'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { connect, roundTrip } from '../support/raw.ts'

const names = ['a', 'b', 'c', 'd', 'e']
const request = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`

/** The name of the backend that answered. */
const who = async (port: number, bytes: string): Promise<string> => {
  const { status, body } = await roundTrip(port, bytes)
  return status === 200 ? (body.toString().split(' ')[0] ?? '') : String(status)
}

t.test('hash: equal keys reach the same backend, over new and kept connections, engines and threads', async (t) => {
  const backends = await Promise.all(names.map((name) => startBackend(t, name)))
  const service = (key: unknown, engine: string): object => ({
    listen: ['127.0.0.1:0'],
    protocol: 'http',
    http: { engine },
    balance: 'hash',
    hash: { key },
    health: { type: 'none' },
    backends: backends.map(({ name, address }) => ({ name, address })),
  })
  const keys = {
    header: { header: 'X-User' },
    cookie: { cookie: 'sid' },
    query: { query: 'id' },
    path: 'path',
    source: 'source-ip',
  }
  const virtualServices = Object.fromEntries(
    ['native', 'http-proxy'].flatMap((engine) =>
      Object.entries(keys).map(([name, key]) => [`${name}-${engine}`, service(key, engine)]),
    ),
  )
  const balancer = await startBalancer(t, { appliance: { threads: 2 }, virtualServices })
  /** A request with this value as the key, and others around it that don't matter. */
  const forms: Record<keyof typeof keys, (value: string, noise: number) => string> = {
    header: (value, noise) => request(`/${noise}`, `x-other: ${noise}\r\nx-USER: ${value}\r\n`),
    cookie: (value, noise) => request(`/${noise}`, `Cookie: xsid=${noise}; sid=${value}; z=${noise}\r\n`),
    query: (value, noise) => request(`/${noise}?xid=${noise}&id=${value}&z`),
    path: (value, noise) => request(`/p/${value}?${noise}`),
    source: (_value, noise) => request(`/${noise}`, `X-User: ${noise}\r\n`),
  }
  for (const kind of Object.keys(keys) as (keyof typeof keys)[]) {
    const places = new Map<string, string>()
    for (const engine of ['native', 'http-proxy']) {
      const port = balancer.port(`${kind}-${engine}`)
      const kept = await connect(port)
      for (let value = 0; value < 12; value++)
        for (let noise = 0; noise < 3; noise++) {
          const bytes = forms[kind](`v${value}`, noise)
          let got: string
          if (noise === 0) got = await who(port, bytes)
          else {
            kept.send(bytes)
            got = (await kept.readResponse()).body.toString().split(' ')[0] ?? ''
          }
          const known = places.get(`v${value}`)
          if (known === undefined) places.set(`v${value}`, got)
          else if (known !== got) t.fail(`${kind}, ${engine}: v${value} went to ${known} and then to ${got}`)
        }
      kept.end()
    }
    const used = new Set(places.values())
    if (kind === 'source') t.equal(used.size, 1, 'one client, one backend')
    else t.ok(used.size >= 4, `${kind}: ${used.size} backends got something`)
  }
})

t.test('hash: a request without the key goes by its client, and a TCP client to one backend', async (t) => {
  const backends = await Promise.all(names.map((name) => startBackend(t, name)))
  const tcp = await Promise.all(names.map((name) => startTcpBackend(t, ({ socket }) => socket.end(name))))
  const shared = { listen: ['127.0.0.1:0'], balance: 'hash', health: { type: 'none' } }
  const balancer = await startBalancer(t, {
    virtualServices: {
      web: {
        ...shared,
        protocol: 'http',
        hash: { key: { header: 'X-User' } },
        backends: backends.map(({ address }) => address),
      },
      raw: { ...shared, protocol: 'tcp', backends: tcp.map(({ address }) => address) },
    },
  })
  const first = await who(balancer.port('web'), request('/'))
  for (let i = 0; i < 10; i++) t.equal(await who(balancer.port('web'), request(`/${i}`, 'X-Other: 1\r\n')), first)
  const seen = new Set<string>()
  for (let i = 0; i < 10; i++) {
    const client = await connect(balancer.port('raw'))
    seen.add((await client.readBytes(1)).toString())
    client.end()
    await client.untilClosed()
  }
  t.equal(seen.size, 1)
})

t.test('least-time: the faster backend gets most, over both engines', async (t) => {
  const slow = await startBackend(t, 'slow')
  const fast = await startBackend(t, 'fast')
  slow.onRequest = (x) => setTimeout(() => x.answer('slow'), 60)
  const service = (engine: string): object => ({
    listen: ['127.0.0.1:0'],
    protocol: 'http',
    http: { engine },
    balance: 'least-time',
    health: { type: 'none' },
    backends: [slow.address, fast.address],
  })
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { native: service('native'), 'http-proxy': service('http-proxy') },
  })
  for (const name of ['native', 'http-proxy']) {
    const got: string[] = []
    for (let i = 0; i < 30; i++) got.push(await who(balancer.port(name), request('/')))
    t.ok(got.includes('slow'), 'the slow one was tried')
    t.ok(got.filter((each) => each === 'fast').length >= 26, `${name}: ${got}`)
  }
})
