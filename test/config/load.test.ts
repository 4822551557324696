/** Loading as a whole: the result, its bounds, and what hostile or broken files do. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import { join } from 'node:path'
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configFrom, configOf, file, fileOf, problemsOf, service, told, toldOf } from './support.ts'

t.test('the sample configuration loads without a warning', async (t) => {
  const result = await fileOf(join(import.meta.dirname, '../../virtual-services.yaml'))
  configOf(result)
  t.strictSame(result.ok ? result.warnings : [], [])
})

t.test('every option that is not set has its default', async (t) => {
  const config = await configFrom(file(service('a')))
  t.match(config, { appliance: { threads: 'auto' }, admin: { listen: '127.0.0.1:9600', token: '' } })
  t.match(config.virtualServices['a'], { balance: 'round-robin', health: { interval: 2000 }, allDown: 'fail' })
})

t.test('a file that cannot be read is a problem, not an exception', async (t) => {
  const dir = t.testdir({
    'latin1.yaml': Buffer.from('version: 1\n# caf\xe9\n', 'latin1'),
    'big.yaml': Buffer.alloc(4194305, '#'),
  })
  t.match(told(await fileOf(join(dir, 'gone.yaml'))), [/^1:1 : can't be read: ENOENT/])
  t.match(told(await fileOf(dir)), [/^1:1 : can't be read: EISDIR/])
  t.match(told(await fileOf(join(dir, 'latin1.yaml'))), [/^2:6 : is not valid UTF-8/])
  t.match(told(await fileOf(join(dir, 'big.yaml'))), [/^1:1 : is larger than 4 MiB/])
})

t.test('a byte order mark and Windows line ends change nothing', async (t) => {
  const text = `\ufeff${file(service('a', '    retries: x\n'))}`.replaceAll('\n', '\r\n')
  t.match(await problemsOf(text), [{ line: 7, column: 14, sourceLine: '    retries: x' }])
})

t.test('the key __proto__ is refused and changes no object', async (t) => {
  const text = file(
    `${service('a', '    __proto__: { polluted: 1 }\n')}  __proto__: {}\n`,
    '__proto__: { polluted: 1 }\n',
  )
  t.strictSame(await toldOf(text), [
    '2:1 __proto__: unknown key `__proto__`',
    '8:5 virtualServices.a.__proto__: unknown key `__proto__`',
    '9:3 virtualServices.__proto__: unknown key `__proto__`',
  ])
  t.notOk('polluted' in {})
})

t.test('keys with the names of what every object inherits are plain keys', async (t) => {
  t.match(await toldOf(file(service('a', '    toString: 1\n'))), [/unknown key `toString`/])
  t.strictSame(Object.keys((await configFrom(file(service('constructor')))).virtualServices), ['constructor'])
})

t.test('an alias bomb is refused in no time', async (t) => {
  const levels = Array.from(
    { length: 12 },
    (_, i) =>
      `a${i}: &a${i} [${Array(12)
        .fill(i === 0 ? 'x' : `*a${i - 1}`)
        .join(', ')}]`,
  )
  const started = performance.now()
  t.match((await toldOf(levels.join('\n'))).join('\n'), /aliases expand to more than 100000 values/)
  t.ok(performance.now() - started < 5000)
})

t.test('deep nesting is refused, whichever way it is written', async (t) => {
  for (const text of [`a: ${'['.repeat(70)}${']'.repeat(70)}`, `a: ${'{ a: '.repeat(70)}1${' }'.repeat(70)}`])
    t.match((await toldOf(text)).join('\n'), /is nested deeper than 64 levels/)
  for (const unit of ['[', '{a: ', '- ', '? ', 'a: ', '!a ', '&a ', '"', '*a ', ']'])
    t.not((await toldOf(unit.repeat(20_000))).length, 0, `${unit} many times over`)
})

t.test('very many problems are cut short, and the last one says so', async (t) => {
  const problems = await problemsOf(file(service('a'), Array.from({ length: 1500 }, (_, i) => `k${i}: 1\n`).join('')))
  t.equal(problems.length, 1001)
  t.match(problems.at(-1), { message: 'and 500 more problems from here on', line: 1002 })
})

t.test('many keys, and many aliases of one anchor, take linear time', async (t) => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n')
  const started = performance.now()
  await toldOf(`${keys}\nx: &x 1\nl: [${'*x,'.repeat(20_000)}]`)
  t.ok(performance.now() - started < 5000)
})

t.test('more than 4096 services are refused', async (t) => {
  const more = Array.from({ length: 4095 }, (_, i) => `  s${i}: *s\n`).join('')
  const first = '  s: &s { listen: [], protocol: tcp, backends: [127.0.0.1:1] }\n'
  t.match(await toldOf(file(first + more)), [/at least one address is needed/])
  t.match(await toldOf(file(`${first}${more}  last: *s\n`)), [
    /at least one address is needed/,
    /^4099:3 virtualServices.last: 4097 services are more than 4096$/,
  ])
})

t.test('a second document, another YAML version and tags have no effect of their own', async (t) => {
  t.match(await toldOf('version: 1\n---\nversion: 1\n'), [/^2:1 : not valid YAML: .*multiple documents/])
  t.match(await toldOf('%YAML 1.1\n---\nversion: 1\nx: yes\n'), [/missing/, /^4:1 x: unknown key `x`/])
  t.match(await toldOf(file(service('a'), 'admin: !!set { a }\n')), [/the tag .* is not accepted/])
})

t.test('a token is required as soon as the admin listener is not on loopback', async (t) => {
  const at = (listen: string, token = '') => toldOf(file(service('a'), `admin: { listen: "${listen}"${token} }\n`))
  for (const listen of ['127.0.0.1:1', '127.8.8.8:1', '[::1]:1', '[::ffff:127.0.0.1]:1'])
    t.strictSame(await at(listen), [])
  for (const listen of ['0.0.0.0:1', '[::]:1', '10.0.0.1:1', '[::2]:1'])
    t.match(await at(listen), [/admin.token: is required because .* is not a loopback address/], listen)
  t.strictSame(await at('0.0.0.0:1', ', token: x'), [])
  t.match(await at('0.0.0.0:1', ', token: "${UNSET:-}"'), [/is required/])
})

t.test('what is allowed but has no effect is a warning', async (t) => {
  const lines = '    http: { via: x }\n    health: { type: tcp, path: /x }\n'
  const result = await loadConfigText(file(service('a', lines)), 'test.yaml', { env: {} })
  t.match(result, {
    ok: true,
    warnings: [
      { line: 7, column: 5, path: 'virtualServices.a.http', message: 'has no effect with protocol tcp' },
      { line: 8, column: 26, path: 'virtualServices.a.health.path', message: 'has no effect with type tcp' },
    ],
  })
})

t.test('what has no effect in a pool is told there, and what the pool has from its service is not', async (t) => {
  const lines = `    health: { type: http, path: /x }
    balance: hash
    hash: { key: path }
    routes: [{ match: { path: /p }, pool: p }]
    pools:
      p:
        health: { type: tcp, tls: { ca: x.pem } }
        balance: round-robin
        affinity: { name: x }
        sorry: { respond: { status: 503 } }
        backends: [127.0.0.1:2]
`
  const result = await loadConfigText(file(service('a', lines, '127.0.0.1:0', 'http')), 'test.yaml', { env: {} })
  t.match(result, { ok: true })
  t.strictSame(result.ok ? result.warnings.map(({ path, message }) => `${path} ${message}`) : [], [
    'virtualServices.a.pools.p.health.tls.ca has no effect while tls.mode is off',
    'virtualServices.a.pools.p.affinity.name has no effect with type none',
    'virtualServices.a.pools.p.sorry has no effect while allDown is not sorry',
  ])
})

t.test('options of HTTP/2 that have no effect are told', async (t) => {
  const told = async (lines: string): Promise<unknown> => {
    const result = await loadConfigText(
      file(service('a', lines).replace('protocol: tcp', 'protocol: http')),
      'test.yaml',
      {
        env: {},
      },
    )
    return result.ok ? result.warnings.map(({ path, message }) => `${path} ${message}`) : result
  }
  const path = 'virtualServices.a.http.http2'
  t.same(await told(`    http: { http2: { cleartext: true } }\n`), [])
  t.same(await told(`    http: { http2: { enabled: false } }\n`), [`${path}.enabled has no effect with protocol http`])
  t.same(await told(`    http: { engine: http-proxy, http2: { cleartext: true } }\n`), [
    `${path} has no effect with engine http-proxy`,
  ])
})

t.test('a header that a probe sets itself is told as a problem of the file', async (t) => {
  for (const name of ['Host', 'connection', 'Content-Length', 'Transfer-Encoding', 'Upgrade', 'Expect', 'TE'])
    t.match(
      await toldOf(file(service('a', `    health: { type: http, headers: { ${name}: x } }\n`))),
      [
        new RegExp(
          `headers\\.${name}: "${name}" is ${name === 'Host' ? 'set by health.host' : 'a field that probes set'}`,
        ),
      ],
      name,
    )
})
