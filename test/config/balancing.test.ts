/** The options of policies and load agents: what is taken, and what is refused where. */
import t from 'tap'
import { configFrom, file, service, toldOf } from './support.ts'

const told = (lines: string, protocol = 'http') => toldOf(file(service('a', lines, '127.0.0.1:0', protocol)))

t.test('hash: keys and bounds', async (t) => {
  const hashOf = async (text: string) =>
    (await configFrom(file(service('a', `    balance: hash\n    hash: ${text}\n`, '127.0.0.1:0', 'http'))))
      .virtualServices['a']?.hash
  t.same(await hashOf('{}'), { key: 'source-ip', boundedLoad: 1.5 })
  t.same(await hashOf('{ key: path, boundedLoad: 125% }'), { key: 'path', boundedLoad: 1.25 })
  t.same(await hashOf('{ key: { header: X-User }, boundedLoad: off }'), { key: { header: 'X-User' }, boundedLoad: 0 })
  t.same(await hashOf('{ key: { cookie: sid } }'), { key: { cookie: 'sid' }, boundedLoad: 1.5 })
  t.same(await hashOf('{ key: { query: id } }'), { key: { query: 'id' }, boundedLoad: 1.5 })
})

t.test('load: defaults', async (t) => {
  const config = await configFrom(file(service('a', '    load: { type: http }\n', '127.0.0.1:0', 'http')))
  t.same(config.virtualServices['a']?.load, { type: 'http', path: '/', send: '', interval: 7000, timeout: 2000 })
})

const REFUSED: readonly (readonly [lines: string, protocol: string, message: RegExp])[] = [
  ['    balance: least-load\n', 'http', /a\.balance: least-load needs load/],
  ['    balance: hash\n    hash: { key: path }\n', 'tcp', /a\.hash\.key: is known of requests only/],
  ['    balance: hash\n    hash: { key: { cookie: a } }\n', 'tcp', /a\.hash\.key: is known of requests only/],
  ['    hash: { key: uri }\n', 'http', /a\.hash\.key: .*source-ip/],
  ['    hash: { key: { header: "a b" } }\n', 'http', /is not a valid header name/],
  ['    hash: { boundedLoad: 100% }\n', 'http', /boundedLoad: "100%" is not a percentage above 100%/],
  ['    hash: { boundedLoad: 2000% }\n', 'http', /up to 1000%/],
  ['    hash: { boundedLoad: 1.5 }\n', 'http', /expected a percentage above 100% such as 150%, or off/],
  ['    load: { port: 1 }\n', 'http', /load\.type: .*http.*agent/],
  ['    load: { type: agent }\n', 'tcp', /load\.port: is missing: the port of the agent/],
  ['    load: { type: http, interval: 1s }\n', 'http', /load\.timeout: 2s, the default, is more than the interval/],
  ['    load: { type: http, timeout: 8s }\n', 'http', /load\.timeout: 8s is more than the interval/],
  ['    load: { type: http, path: load }\n', 'http', /a path starts with \//],
]
for (const [lines, protocol, message] of REFUSED)
  t.test(`refused: ${lines.trim().replaceAll(/\n\s*/g, ', ')} with ${protocol}`, async (t) => {
    const problems = await told(lines, protocol)
    t.equal(problems.length, 1, problems.join('; '))
    t.match(problems[0], message)
  })

t.test('the same of a pool, at its place', async (t) => {
  const pools =
    '    routes: [{ match: { path: /x }, pool: p }]\n    pools: { p: { balance: least-load, backends: [127.0.0.1:2] } }\n'
  t.match((await told(pools)).join(), /a\.pools\.p\.balance: least-load needs load/)
})
