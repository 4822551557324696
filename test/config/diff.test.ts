/** What another configuration changes. */
import t from 'tap'
import { type Config, differences, diffServices, needsRestart, partsOf } from '../../lib/config/index.ts'
import { configFrom, file, service } from './support.ts'

const read = (services: string, top = ''): Promise<Config> => configFrom(file(services, top))
const http = (name: string, more = ''): string => service(name, more, '127.0.0.1:0', 'http')

t.test('services are added, changed and removed; how they are written does not matter', async (t) => {
  const before = await read([http('a'), http('b'), http('c')].join(''))
  const after = await read(
    [http('c'), http('b', '    retries: 2 # as by default\n'), http('d'), http('a', '    retries: 3\n')].join(''),
  )
  t.strictSame(diffServices(before, after), { added: ['d'], changed: ['a'], removed: [] })
  t.strictSame(diffServices(after, before), { added: [], changed: ['a'], removed: ['d'] })
  t.strictSame(diffServices(before, before), { added: [], changed: [], removed: [] })
})

t.test('each option of the process itself is refused by its name, those that can change are not', async (t) => {
  const before = await read(http('a'))
  const rows: readonly (readonly [text: string, refused: string | null])[] = [
    ['appliance: { threads: 3 }\n', 'appliance.threads'],
    ['appliance: { stateFile: other.json }\n', 'appliance.stateFile'],
    ['appliance: { affinity: { maxEntries: 2048 } }\n', 'appliance.affinity'],
    ['appliance: { tickets: { rotate: 1h } }\n', 'appliance.tickets'],
    ['admin: { listen: "127.0.0.1:9601" }\n', 'admin.listen'],
    ['accessLog: { format: common }\n', 'accessLog'],
    ['appliance: { drain: { timeout: 1s }, watch: true, overload: { memory: 50% } }\n', null],
    ['admin: { token: secret-token }\n', null],
  ]
  for (const [text, refused] of rows) {
    const sentences = needsRestart(before, await read(http('a'), text))
    t.equal(sentences.length, refused === null ? 0 : 1, text)
    if (refused !== null) t.ok(sentences[0]?.startsWith(`${refused} can't change while the process runs: `))
  }
})

t.test('options that differ are told by their path, secrets are not shown', (t) => {
  const before = { a: 1, b: { c: [1, 2], d: 'x' }, token: 'old', gone: true }
  const after = { a: 1, b: { c: [1, 3], d: 'x' }, token: 'new', come: { password: 'p', n: 1 } }
  t.strictSame(differences(before, after), [
    { path: 'b.c', before: [1, 2], after: [1, 3] },
    { path: 'token', before: '***', after: '***' },
    { path: 'gone', before: true, after: undefined },
    { path: 'come', before: undefined, after: { password: '***', n: 1 } },
  ])
  t.strictSame(differences(before, structuredClone(before)), [])
  t.end()
})

t.test('backends of all pools are apart from the options of the service', async (t) => {
  const text = http(
    'a',
    '    pools: { more: { backends: [{ name: x, address: "127.0.0.1:9" }] } }\n    routes: [{ match: { path: /x }, pool: more }]\n',
  )
  const { options, backends } = partsOf((await read(text)).virtualServices['a'] as Config['virtualServices'][string])
  t.strictSame([...backends.keys()].at(-1), 'x')
  t.notOk('backends' in options)
  t.match(options, { pools: { more: { balance: 'round-robin' } } })
})
