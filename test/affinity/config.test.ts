/** The options of affinity: what is refused, what is warned of, and what a pool inherits. */
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configFrom, file, service, toldOf } from '../config/support.ts'

const affine = (lines: string, protocol = 'http'): string =>
  file(service('a', `    affinity: ${lines}\n`, '127.0.0.1:0', protocol))
const warningsOf = async (text: string): Promise<string[]> => {
  const result = await loadConfigText(text, 'test.yaml', { env: {} })
  return result.ok ? result.warnings.map(({ path, message }) => `${path}: ${message}`) : ['refused']
}

t.test('there is none by default', async (t) => {
  const { virtualServices, appliance } = await configFrom(file(service('a')))
  t.equal(virtualServices['a']?.affinity.type, 'none')
  t.equal(appliance.affinity.maxEntries, 1_048_576)
})

t.test('each type needs a protocol that carries it, and says what else would do', async (t) => {
  const requests = 'needs protocol http or https: it is read from requests; use source-ip'
  const rows: [string, string[], string][] = [
    ['{ type: source-ip }', ['tcp', 'tls', 'http', 'https'], ''],
    ['{ type: cookie }', ['http', 'https'], `cookie ${requests}`],
    ['{ type: header, name: X }', ['http', 'https'], `header ${requests}`],
    ['{ type: tls-session }', ['tcp'], 'tls-session needs protocol tcp: it is read from a handshake that goes through'],
    ['{ type: rdp-cookie }', ['tcp', 'tls'], 'rdp-cookie needs protocol tcp or tls: it is read from the first packet'],
  ]
  const tls = '    tls: { certificates: [{ cert: c, key: k }] }\n'
  for (const [lines, good, message] of rows)
    for (const protocol of ['tcp', 'tls', 'http', 'https']) {
      const secure = protocol === 'tls' || protocol === 'https' ? tls : ''
      const said = await toldOf(file(service('a', `    affinity: ${lines}\n${secure}`, '127.0.0.1:0', protocol)))
      if (good.includes(protocol)) t.same(said, [], `${lines} ${protocol}`)
      else t.ok(said[0]?.startsWith(`7:23 virtualServices.a.affinity.type: ${message}`), `${lines} ${protocol} ${said}`)
    }
})

t.test('what it can’t do without is asked for', async (t) => {
  const rows: [string, RegExp][] = [
    ['{ type: header }', /affinity.name: is missing: the header that tells clients apart/],
    ['{ type: cookie, mode: existing }', /affinity.name: is missing: the cookie that the backends set/],
    ['{ type: cookie, name: "a b" }', /is not a valid name of a cookie or header/],
    ['{ type: source-ip, fallback: source-ip }', /fallback: is the type itself; leave it out/],
    ['{ type: source-ip, prefix4: 33 }', /prefix4/],
    ['{ type: sorce-ip }', /source-ip/],
  ]
  for (const [lines, message] of rows) t.match(await toldOf(affine(lines)), [message], lines)
})

t.test('what has no effect is warned of', async (t) => {
  const at = 'virtualServices.a.affinity'
  t.same(await warningsOf(affine('{ type: source-ip, prefix4: 24, timeout: 5m, group: g }')), [])
  t.same(await warningsOf(affine('{ type: cookie, timeout: 5m, prefix4: 24 }')), [
    `${at}.timeout: has no effect with type cookie and mode insert`,
    `${at}.prefix4: has no effect with type cookie and mode insert`,
  ])
  t.same(await warningsOf(affine('{ type: cookie, timeout: 5m, fallback: source-ip, maxIdle: 1h, maxLife: 8h }')), [])
  t.same(await warningsOf(affine('{ type: header, name: X, mode: insert, maxIdle: 1h }')), [
    `${at}.mode: has no effect with type header`,
    `${at}.maxIdle: has no effect with type header`,
  ])
})

t.test('services of a group cut addresses alike, and their backends are the same and can be told apart', async (t) => {
  const member = (name: string, affinity: string, backends: string): string =>
    `  ${name}:\n    listen: ["127.0.0.1:0"]\n    protocol: tcp\n` +
    `    affinity: { type: source-ip, group: g${affinity} }\n    backends: ${backends}\n`
  const pair = (affinity: string, backends: string): string =>
    file(member('a', '', '[10.0.0.1:80, 10.0.0.2:80]') + member('b', affinity, backends))
  t.same(await toldOf(pair('', '[10.0.0.2:443, 10.0.0.1:443]')), [])
  t.same(await toldOf(pair('', '[{ name: 10.0.0.1, address: "10.0.0.9:443" }]')), [])
  const prefix = await toldOf(pair(', prefix4: 24', '[10.0.0.2:443]'))
  t.match(prefix, [/b.affinity.prefix4: is 24, but 32 in a, which is in the same group/])
  const twice = await toldOf(pair('', '[10.0.0.2:443, 10.0.0.2:444]'))
  t.match(twice, [/b.backends\[1\]: is on the same host as backends\[0\]/])
  t.match(await toldOf(pair('', '[10.0.0.9:443]')), [/b.affinity.group: has no backend in common with a/])
})

t.test('a pool has the affinity of its service unless it says otherwise, and is checked like it', async (t) => {
  const pools = (own: string): string =>
    `${affine('{ type: cookie }')}    routes: [{ match: { path: { prefix: /api } }, pool: api }]\n` +
    `    pools: { api: { backends: [127.0.0.1:2]${own} } }\n`
  const { a } = (await configFrom(pools(''))).virtualServices
  t.equal(a?.pools['api']?.affinity.type, 'cookie')
  const said = await toldOf(pools(', affinity: { type: tls-session }'))
  t.match(said, [/pools.api.affinity.type: tls-session needs protocol tcp/])
})
