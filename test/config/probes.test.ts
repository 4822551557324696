/** The options of probes: what a type needs, what has no effect, and that secrets are shown nowhere. */
import t from 'tap'
import { loadConfigText, redact } from '../../lib/config/index.ts'
import { parseLdapFilter } from '../../lib/config/ldap-filter.ts'
import { checkPattern } from '../../lib/config/patterns.ts'
import { configFrom, file, problemsOf, service, toldOf } from './support.ts'

const HERE = 'virtualServices.a.health'
const text = (health: string): string => file(service('a', `    health: ${health}\n`))
const warnedOf = async (health: string): Promise<string[]> => {
  const result = await loadConfigText(text(health), 'test.yaml', { env: {} })
  return result.ok ? result.warnings.map(({ path, message }) => `${path}: ${message}`) : ['refused']
}

const WRONG: readonly (readonly [health: string, told: RegExp])[] = [
  ['{ type: dns }', /^7:21 .*health\.dns\.name: is needed with type dns/],
  ['{ type: udp, udp: { expect: x } }', /^7:31 .*health\.udp\.send: is needed with type udp/],
  ['{ type: radius }', /radius\.secret: is needed/],
  ['{ type: exec, exec: { command: [check] } }', /exec\.command: .*a path with a \//],
  ['{ type: exec, exec: { command: [] } }', /exec\.command: the program is needed/],
  ['{ type: ldap, ldap: { bindDn: cn=a } }', /ldap\.bindDn: needs ldap\.password too/],
  ['{ type: ldap, ldap: { filter: "(a=b" } }', /ldap\.filter: .*has no comparison/],
  ['{ type: redis, redis: { user: a } }', /redis\.user: needs redis\.password too/],
  ['{ type: postgres, postgres: { role: replica } }', /postgres\.role: needs postgres\.user too/],
  ['{ type: redis, tls: { mode: starttls } }', /tls\.mode: type redis has no starttls; write implicit/],
  ['{ type: radius, radius: { secret: x }, tls: { mode: starttls } }', /tls\.mode: type radius has no starttls$/],
  ['{ type: mysql, tls: { mode: implicit } }', /tls\.mode: type mysql has no implicit TLS; write starttls/],
  ['{ type: udp, udp: { send: x, quiet: 1s } }', /udp\.quiet: must be shorter than health\.timeout/],
  ['{ type: tcp, tcp: { send: { hex: "0" } } }', /is not hexadecimal/],
  ['{ type: http, body: { pattern: "^(a+)+$" } }', /body\.pattern: .*is ambiguous/],
  ['{ type: http, body: { pattern: "up" } }', /body\.pattern: .*has no \^ at its start/],
  ['{ type: smtp, smtp: { helo: "a\\r\\nQUIT" } }', /smtp\.helo: .*has control characters/],
  ['{ type: dns, dns: { name: "a..b" } }', /dns\.name: .*is not a domain name/],
  ['{ type: ldapp }', /"ldapp" is not one of .*did you mean `ldap`/],
]
for (const [health, told] of WRONG)
  t.test(`${health} is refused`, async (t) => {
    const problems = await toldOf(text(health))
    t.match(problems.join('\n'), told)
    t.equal(problems.length, 1, problems.join('\n'))
  })

const IDLE: readonly (readonly [health: string, warned: readonly string[]])[] = [
  ['{ type: ldap, redis: { role: primary } }', [`${HERE}.redis: has no effect with type ldap`]],
  ['{ type: redis, path: /x }', [`${HERE}.path: has no effect with type redis`]],
  ['{ type: tls, tls: { mode: implicit } }', [`${HERE}.tls.mode: has no effect with type tls, which always uses TLS`]],
  ['{ type: smtp, tls: { serverName: a } }', [`${HERE}.tls.serverName: has no effect while tls.mode is off`]],
  ['{ type: radius, radius: { secret: x }, tls: {} }', [`${HERE}.tls: has no effect with type radius`]],
  ['{ type: redis, redis: { password: x } }', [`${HERE}.redis.password: is sent in clear text while tls.mode is off`]],
  ['{ type: redis, redis: { password: x }, tls: { mode: implicit } }', []],
  ['{ type: tls, tcp: { expect: SSH } }', []],
]
for (const [health, warned] of IDLE)
  t.test(`${health} ${warned.length === 0 ? 'is fine' : 'is told to have no effect'}`, async (t) => {
    t.strictSame(await warnedOf(health), warned)
  })

t.test('passwords and secrets are shown in no problem and no printed configuration', async (t) => {
  const secrets = '{ type: radius, radius: { secret: hunter2, user: u, password: hunter2, reject: x } }'
  const problems = await problemsOf(text(secrets))
  t.equal(problems.length, 1)
  t.notMatch(JSON.stringify(problems), /hunter2/)
  const [wrong] = await problemsOf(text('{ type: radius, radius: { secret: [hunter2] } }'))
  t.notMatch(JSON.stringify(wrong), /hunter2/)
  const shown = redact(await configFrom(text(secrets.replace(', reject: x', ''))))
  t.match(shown.virtualServices['a']?.health.radius, { secret: '***', user: 'u', password: '***' })
})

t.test('the program of an exec probe is relative to the folder of its file, its arguments are not', async (t) => {
  const config = await configFrom(text('{ type: exec, exec: { command: [./check, ./x] } }'))
  t.strictSame(config.virtualServices['a']?.health.exec.command, [`${process.cwd()}/check`, './x'])
})

t.test('filters of LDAP', (t) => {
  const value = (of: string): Buffer => Buffer.from(of)
  const right: readonly (readonly [text: string, filter: object])[] = [
    ['(a=b)', { kind: 'equal', attribute: 'a', value: value('b') }],
    ['(a=)', { kind: 'equal', attribute: 'a', value: value('') }],
    ['(a=*)', { kind: 'present', attribute: 'a' }],
    ['(2.5.4.3>=b c)', { kind: 'greater', attribute: '2.5.4.3', value: value('b c') }],
    ['(cn;lang-de<=ü)', { kind: 'less', attribute: 'cn;lang-de', value: value('ü') }],
    ['(a~=\\2a)', { kind: 'approximately', attribute: 'a', value: value('*') }],
    ['(a=b*)', { kind: 'substrings', attribute: 'a', initial: value('b'), any: [], final: value('') }],
    [
      '(a=*b*c*d)',
      { kind: 'substrings', attribute: 'a', initial: value(''), any: [value('b'), value('c')], final: value('d') },
    ],
    ['(!(a=*))', { kind: 'not', filter: { kind: 'present', attribute: 'a' } }],
    [
      '(&(a=*)(|(b=*)))',
      { kind: 'and', filters: [{ kind: 'present' }, { kind: 'or', filters: [{ attribute: 'b' }] }] },
    ],
  ]
  for (const [text, filter] of right) t.match(parseLdapFilter(text), filter, text)
  for (const text of [
    '',
    'a=b',
    '(a)',
    '(a=b',
    '(a=b))',
    '(a=b)(c=d)',
    '(&)',
    '(!(a=b)(c=d))',
    '(a=\\zz)',
    '(a=\\2)',
    '(=b)',
  ])
    t.type(parseLdapFilter(text), 'string', text)
  t.match(parseLdapFilter(`${'(!'.repeat(20)}(a=b)${')'.repeat(20)}`), /nested deeper/)
  t.end()
})

t.test('patterns for texts know blanks and characters beyond ASCII', (t) => {
  for (const source of ['^.*"status": *"up"', '^\\s*ok\\s*$', '^[^\\n]*\\n\\d+ free', '^\\S+ \\S+$'])
    t.strictSame(checkPattern(source, 'text'), { groups: 0 }, source)
  for (const source of ['^(?:\\s|\\S)*\\s*x', '^[^a]*\\s*b', '^\\W*\\s*x', '^(?:.|\\n)*x'])
    t.match(checkPattern(source, 'text'), /ambiguous/, source)
  t.match(checkPattern('^é', 'text'), /not visible ASCII/)
  t.match(checkPattern('^a b'), /a character that no path has/)
  t.end()
})

t.test('a pool has a probe of its own, checked and read like that of the service', async (t) => {
  const pools = (health: string): string =>
    file(
      `${service('a', '    routes: [{ match: { path: { prefix: /b } }, pool: b }]\n', '127.0.0.1:0', 'http')}    pools: { b: { backends: [127.0.0.1:2], health: ${health} } }\n`,
    )
  t.match((await toldOf(pools('{ type: dns }'))).join('\n'), /pools\.b\.health\.dns\.name: is needed/)
  const config = await configFrom(pools('{ type: exec, exec: { command: [./check] }, tls: { ca: ./ca.pem } }'))
  const health = config.virtualServices['a']?.pools['b']?.health
  t.strictSame([health?.exec.command, health?.tls.ca], [[`${process.cwd()}/check`], `${process.cwd()}/ca.pem`])
})
