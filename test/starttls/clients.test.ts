/** `startTls`: what clients meet, up to the handshake and behind it. */
import t from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { flowOf } from '../e2e/fixtures/support.ts'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { Talk } from './fixtures/client.ts'
import { PROTOCOLS } from './fixtures/protocols.ts'

const authority = await makeAuthority('starttls tests', 2)
const [leaf, other] = await Promise.all([makeLeaf(authority, ['mail.test'], 2), makeLeaf(authority, ['other.test'], 2)])
const files = { 'c.pem': leaf.cert, 'c.key': leaf.key, 'o.pem': other.cert, 'o.key': other.key }
const certificates = [
  { cert: 'c.pem', key: 'c.key' },
  { cert: 'o.pem', key: 'o.key' },
]
const ca = authority.cert

/** Greets as its protocol has it, and says back what it hears. */
const backends = await Promise.all(
  PROTOCOLS.map(({ greets }) =>
    startTcpBackend(t, ({ socket }) => {
      if (greets !== '') socket.write(greets)
      socket.pipe(socket)
    }),
  ),
)
const service = (i: number, more: object = {}): object => ({
  protocol: 'tls',
  startTls: PROTOCOLS[i]?.name,
  listen: ['127.0.0.1:0'],
  tls: { certificates },
  health: { type: 'none' },
  backends: [backends[i]?.address],
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    appliance: { threads: 2 },
    virtualServices: {
      ...Object.fromEntries(PROTOCOLS.map(({ name }, i) => [name, service(i)])),
      hasty: service(0, { timeouts: { handshake: '300ms' } }),
      proxied: service(0, { proxyProtocol: { accept: 'any', from: ['127.0.0.1'] } }),
    },
  },
  { files },
)

const failures = async (name: string, reason: string): Promise<number> => {
  const metric = new RegExp(`tls_handshake_failures_total\\{service="${name}",reason="${reason}"\\} (\\d+)`)
  return Number(metric.exec(await balancer.metrics())?.[1] ?? 0)
}

for (const [i, protocol] of PROTOCOLS.entries()) {
  const { name, asks, granted, early, refused, farewell } = protocol
  const heard = (): string => backends[i]?.connections.map(({ text }) => text).join('|') ?? ''

  t.test(`${name}: TLS by asking for it, then the backend, whose greeting is not heard twice`, async (t) => {
    for (const options of [
      { maxVersion: 'TLSv1.2' },
      { maxVersion: 'TLSv1.3' },
      { servername: 'other.test' },
    ] as const) {
      const talk = await Talk.with(balancer.port(name))
      const port = talk.socket.localPort
      await protocol.prepare(talk)
      await talk.ask(asks, granted)
      const socket = await talk.secure({ ca, ...options })
      t.equal(socket.getPeerX509Certificate()?.subjectAltName, `DNS:${'servername' in options ? 'other' : 'mail'}.test`)
      t.equal(await talk.ask('hello\r\n', /\r\n/), 'hello\r\n', 'the first words of the backend')
      socket.end()
      t.equal(await talk.rest(), '')
      t.match(await flowOf(balancer, port), { protocol: 'tls', bytesIn: 7, reason: '' })
    }
  })

  t.test(`${name}: what must not be said in the clear is refused, and no backend hears of it`, async (t) => {
    const before = backends[i]?.connections.length
    const talk = await Talk.with(balancer.port(name))
    await protocol.prepare(talk)
    await talk.ask(early, refused)
    await talk.ask(early, refused)
    t.equal(backends[i]?.connections.length, before)
    await talk.ask(asks, granted)
    await talk.secure({ ca })
    await talk.ask('after\r\n', /after\r\n/)
    t.notMatch(heard(), /secret|MAIL FROM|USER/)
  })

  t.test(
    `${name}: commands that ride behind the one for TLS are never taken as said under it (CVE-2011-0411)`,
    async (t) => {
      const [failed, before] = [await failures(name, 'protocol'), backends[i]?.connections.length]
      const talk = await Talk.with(balancer.port(name))
      await protocol.prepare(talk)
      talk.say(`${asks}${early}`)
      t.match(await talk.rest(), farewell)
      t.equal(backends[i]?.connections.length, before)
      t.equal(await failures(name, 'protocol'), failed + 1)

      const late = await Talk.with(balancer.port(name))
      await protocol.prepare(late)
      await late.ask(asks, granted)
      late.say(`${early}${early}`)
      await late.rest()
      t.equal(backends[i]?.connections.length, before, 'nor those that come before the handshake')
      t.equal(await failures(name, 'protocol'), failed + 2)
    },
  )

  t.test(`${name}: byte by byte it is the same`, async (t) => {
    const talk = await Talk.with(balancer.port(name))
    await protocol.prepare(talk)
    for (const byte of asks) {
      talk.say(byte)
      await new Promise((done) => setImmediate(done))
    }
    await talk.until(granted)
    await talk.secure({ ca })
    t.equal(await talk.ask('hello\r\n', /\r\n/), 'hello\r\n')
  })

  t.test(`${name}: a client that only talks, or never ends a word, is sent away`, async (t) => {
    const chatty = await Talk.with(balancer.port(name))
    await protocol.prepare(chatty)
    chatty.say(early.repeat(40))
    t.match(await chatty.rest(), name === 'ldap' ? /first/ : farewell)
    const endless = await Talk.with(balancer.port(name))
    await protocol.prepare(endless)
    endless.say(
      name === 'ldap' ? Buffer.concat([Buffer.from([0x30, 0x82, 0xff, 0xff]), Buffer.alloc(5000)]) : 'x'.repeat(5000),
    )
    await endless.rest()
    t.equal(await failures(name, 'timeout'), 0)
  })
}

t.test('the handshake has its time together with the words before it', async (t) => {
  const begun = performance.now()
  const mute = await Talk.with(balancer.port('hasty'))
  const slow = await Talk.with(balancer.port('hasty'))
  await slow.until(/220 /)
  slow.say('EHLO a\r\nSTART')
  const shaking = await Talk.with(balancer.port('hasty'))
  await shaking.until(/\r\n/)
  await shaking.ask('STARTTLS\r\n', /220 [^\n]*\r\n/)
  await Promise.all([mute.rest(), slow.rest(), shaking.rest()])
  const took = performance.now() - begun
  t.ok(took >= 290 && took < 3000, `${took} ms`)
  t.equal(await failures('hasty', 'timeout'), 3)
})

t.test('who leaves politely is no failure, who is cut off is', async (t) => {
  const before = await failures('smtp', 'closed')
  const polite = await Talk.with(balancer.port('smtp'))
  await polite.until(/\r\n/)
  t.equal(await polite.ask('QUIT\r\n', /\r\n/), '221 2.0.0 Bye\r\n')
  await polite.rest()
  t.equal(await failures('smtp', 'closed'), before)
  const rude = await Talk.with(balancer.port('smtp'))
  await rude.until(/\r\n/)
  rude.socket.destroy()
  await eventually('its end', async () => (await failures('smtp', 'closed')) === before + 1)
})

t.test('a PROXY header comes before the greeting', async (t) => {
  const talk = await Talk.with(balancer.port('proxied'))
  talk.say('PROXY TCP4 192.0.2.9 192.0.2.1 1000 25\r\n')
  await talk.until(/220 mail\.test ESMTP\r\n/)
  await talk.ask('STARTTLS\r\n', /220 [^\n]*\r\n/)
  await talk.secure({ ca })
  t.equal(await talk.ask('hello\r\n', /\r\n/), 'hello\r\n')
  talk.socket.end()
  await eventually('its line', async () => (await balancer.accessLog()).some(({ client }) => client === '192.0.2.9'))
})

t.test('a stop ends those that still talk', async (t) => {
  const stopped = await startBalancer(t, { virtualServices: { smtp: service(0) } }, { files })
  const talk = await Talk.with(stopped.port('smtp'))
  await talk.until(/\r\n/)
  const exit = await stopped.stop()
  t.equal(exit.code, 0)
  t.equal(await talk.rest(), '')
})
