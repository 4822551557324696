/** Routes of each protocol, and STARTTLS: what they may go by, and go with. */
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configFrom, file, service, toldOf } from './support.ts'

const POOLS = '    pools: { p: { backends: [127.0.0.1:2] } }\n'
const routed = (route: string, protocol = 'tcp'): string =>
  file(service('a', `    routes: [${route}]\n${POOLS}`, undefined, protocol))

const REFUSED: [route: string, protocol: string, message: RegExp][] = [
  ['{ match: { host: a.test }, pool: p }', 'tcp', /routes\[0\]\.match: needs protocol http or https; write sni/],
  ['{ sni: a.test, pool: p }', 'http', /routes\[0\]\.sni: needs protocol tcp or tls; write match: \{ host: … \}/],
  ['{ sni: a.test, pool: q }', 'tcp', /routes\[0\]\.pool: there is no pool q; did you mean p\?/],
  ['{ sni: [], pool: p }', 'tcp', /sni: at least one is needed/],
  ['{ sni: "a..test", pool: p }', 'tcp', /sni: "a\.\.test" is not a host/],
  ['{ sni: "*", pool: p }', 'tcp', /sni: "\*" is not a host/],
  ['{ sni: "a.*.test", pool: p }', 'tcp', /is not a host/],
  ['{ sni: 10.0.0.1, pool: p }', 'tcp', /sni: .*is an address; clients ask for names only/],
  ['{ sni: "[::1]", pool: p }', 'tcp', /is an address; clients ask for names only/],
]
for (const [route, protocol, message] of REFUSED)
  t.test(`refused with ${protocol}: ${route}`, async (t) => {
    t.match((await toldOf(routed(route, protocol))).join('\n'), message)
  })

t.test('a name, several, or none for all; a service with routes needs no backends of its own', async (t) => {
  const text = routed('{ sni: A.test, pool: p }, { sni: [b.test, "*.b.test"], pool: p }, { pool: p }')
  const result = await loadConfigText(text.replace('    backends: [127.0.0.1:1]\n', ''), 'test.yaml')
  t.match(result, { ok: true, warnings: [] })
  const { virtualServices } = await configFrom(text)
  t.match(virtualServices['a']?.routes, [{ sni: ['A.test'] }, { sni: ['b.test', '*.b.test'] }, { sni: undefined }])
})

t.test('a pool that no route leads to is told', async (t) => {
  const result = await loadConfigText(file(service('a', POOLS)), 'test.yaml')
  t.match(result, { ok: true, warnings: [{ path: /pools\.p$/, message: /no route leads there/ }] })
})

t.test('startTls is for protocol tls, and backends are asked in its words', async (t) => {
  const tls = '    tls: { certificates: [{ cert: c, key: k }] }\n'
  const told = async (lines: string, protocol: string) =>
    (await toldOf(file(service('a', lines, undefined, protocol)))).join('\n')
  t.match(await told(`    startTls: smtp\n${tls}`, 'https'), /startTls: needs protocol tls/)
  t.match(await told('    startTls: smtp\n', 'tcp'), /startTls: needs protocol tls/)
  t.match(await told(`    startTls: ftp\n${tls}`, 'tls'), /startTls: "ftp" is not one of smtp, imap, pop3, ldap/)
  t.match(
    await told(`    backendTls: { startTls: true }\n${tls}`, 'tls'),
    /backendTls\.startTls: needs startTls of the/,
  )
  t.equal(await told(`    startTls: ldap\n    backendTls: { startTls: true }\n${tls}`, 'tls'), '')
})
