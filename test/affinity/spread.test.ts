/** Each client stays on its backend while clients are spread: every type, both engines, several data threads. */
import t from 'tap'
import { startBalancer } from '../support/balancer.ts'
import { connect, type RawResponse } from '../support/raw.ts'
import { ask, cookieIn, ENGINES, NAMES, nameIn, service, startBackends } from './fixtures/http.ts'

const CLIENTS = 9

for (const threads of [1, 4])
  t.test(`${threads} data threads: each client stays, on one connection and on new ones`, async (t) => {
    const backends = await startBackends(t)
    const virtualServices = Object.fromEntries(
      ENGINES.flatMap((engine) => {
        const http = { engine, trustedProxies: ['127.0.0.1'] }
        return [
          [`cookie-${engine}`, service(backends, { type: 'cookie' }, { http })],
          [`header-${engine}`, service(backends, { type: 'header', name: 'X-Session' }, { http })],
          [`existing-${engine}`, service(backends, { type: 'cookie', mode: 'existing', name: 'SID' }, { http })],
          [`source-${engine}`, service(backends, { type: 'source-ip', prefix6: 64 }, { http })],
        ]
      }),
    )
    const balancer = await startBalancer(t, { appliance: { threads }, virtualServices })
    /** What a client sends after its first answer. */
    const opening: Record<string, (i: number) => string> = {
      header: (i) => `X-Session: session-${i}\r\n`,
      source: (i) => `X-Forwarded-For: 2001:db8:0:${i}::\r\n`,
    }
    const kept: Record<string, (i: number, first: RawResponse) => string> = {
      cookie: (i, first) => `Cookie: n=${i}; EKID=${cookieIn(first)}\r\n`,
      existing: (i, first) => `Cookie: n=${i}; SID=${cookieIn(first, 'SID')}\r\n`,
      header: (i) => `X-Session: session-${i}\r\n`,
      source: (i) => `X-Forwarded-For: 2001:db8:0:${i}::${i + 1}\r\n`,
    }
    for (const [type, fieldsOf] of Object.entries(kept))
      for (const engine of ENGINES) {
        const port = balancer.port(`${type}-${engine}`)
        const seen = new Set<string>()
        for (let i = 0; i < CLIENTS; i++) {
          const first = await ask(port, opening[type]?.(i) ?? '', '/login')
          const home = nameIn(first)
          seen.add(home)
          const fields = fieldsOf(i, first)
          const one = await connect(port)
          const answers = [
            await ask(one, fields),
            await ask(port, fields),
            await ask(one, fields),
            await ask(port, fields),
          ]
          one.destroy()
          t.same(answers.map(nameIn), [home, home, home, home], `${type} ${engine} client ${i}`)
        }
        t.same([...seen].sort(), [...NAMES], `${type} ${engine}: clients are spread`)
      }
    const metrics = await balancer.metrics()
    t.match(metrics, new RegExp(`evenkeel_affinity_total\\{service="header-native",result="hit"\\} ${4 * CLIENTS}\\n`))
    t.match(metrics, new RegExp(`evenkeel_affinity_total\\{service="header-native",result="miss"\\} ${CLIENTS}\\n`))
    t.match(metrics, new RegExp(`evenkeel_affinity_entries\\{service="header-native"\\} ${CLIENTS}\\n`))
    t.match(metrics, /evenkeel_affinity_evictions_total\{service="header-native"\} 0\n/)
    t.notMatch(metrics, /evenkeel_affinity_entries\{service="cookie-native"\}/)
  })
