/** TLS that goes through: sessions are resumed where they were given. */
import t from 'tap'
import { startBalancer } from '../support/balancer.ts'
import { shakeHands, startTlsServer } from './fixtures/handshakes.ts'
import { tcp } from './fixtures/tcp.ts'

for (const tickets of [true, false])
  t.test(
    `tls-session: TLS 1.2 sessions by ${tickets ? 'ticket' : 'id'} are resumed at the backend that gave them`,
    async (t) => {
      const names = ['b1', 'b2', 'b3']
      const ports = await Promise.all(names.map((name) => startTlsServer(t, { maxVersion: 'TLSv1.2', tickets }, name)))
      const backends = ports.map((port, i) => ({ name: names[i], address: `127.0.0.1:${port}` }))
      const balancer = await startBalancer(t, {
        appliance: { threads: 2 },
        virtualServices: { main: tcp({ type: 'tls-session' }, backends) },
      })
      const port = balancer.port('main')
      for (let i = 0; i < 4; i++) {
        const first = await shakeHands(port)
        t.equal(first.resumed, false)
        let { session } = first
        for (let again = 0; again < 2; again++) {
          const next = await shakeHands(port, session)
          t.same([next.greeting, next.resumed], [first.greeting, true])
          if (next.session.length > 0) session = next.session
        }
      }
    },
  )

t.test('tls-session: of TLS 1.3 nothing is remembered, and the fallback holds', async (t) => {
  const names = ['b1', 'b2']
  const ports = await Promise.all(
    names.map((name) => startTlsServer(t, { maxVersion: 'TLSv1.3', tickets: true }, name)),
  )
  const backends = ports.map((port, i) => ({ name: names[i], address: `127.0.0.1:${port}` }))
  const balancer = await startBalancer(t, {
    virtualServices: { main: tcp({ type: 'tls-session', fallback: 'source-ip' }, backends) },
  })
  const port = balancer.port('main')
  const { greeting } = await shakeHands(port)
  for (let i = 0; i < 4; i++) t.equal((await shakeHands(port)).greeting, greeting)
  t.match(await balancer.metrics(), /evenkeel_affinity_entries\{service="main"\} 1\n/)
})
