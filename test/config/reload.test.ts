/** What a configuration is after a change, read in parts: the same as read whole, whatever has changed. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Loaded, type LoadResult, loadConfig, reloadConfig } from '../../lib/config/index.ts'

const PLAIN = `# what the shop needs
version: 1
include: conf.d/*.yaml
admin: { token: "secret of the admin" }
accessLog: { path: access.log }
defaults:
  timeouts: { connect: 1s }
  drain: { timeout: 20s }
virtualServices:
  # the first
  first:
    listen: ["127.0.0.1:8001"]
    protocol: http
    backends: [ 127.0.0.1:9001, { name: b2, address: "127.0.0.1:9002", weight: 2 } ]
    sorry:
      respond:
        status: 503
        body: |
          two lines:
            of text
    allDown: sorry

  second:   # with a comment
    listen: ["127.0.0.1:8002"]
    protocol: tcp
    backends:
      - 127.0.0.1:9001
  third:
    listen:
    - "127.0.0.1:8003"
    protocol: https
    tls: { certificates: [{ cert: certs/a.pem, key: certs/a.key, passphrase: "of the third" }] }
    health: { type: http, path: /health, headers: { Authorization: hidden } }
    routes:
      - { match: { path: /api }, pool: api }
    pools:
      api: { backends: ["127.0.0.1:9003"], balance: least-connections }
    backends: ['127.0.0.1:9004']

  "fourth":
    listen: ["127.0.0.1:8004"]
    protocol: http
    balance: \${BALANCE:-random-two}
    allDown: sorry
    sorry: { respond: { status: 503, body: "a text
      in two lines" } }
    backends: [127.0.0.1:9001]
# the last
  fifth: { listen: ["127.0.0.1:8005"], protocol: tcp, backends: [127.0.0.1:9001],
    affinity: { type: source-ip } }
`
const INCLUDED = `virtualServices:
  more:
    listen: ["127.0.0.1:8101"]
    protocol: tcp
    backends: [127.0.0.1:9001]
  last: { listen: ["127.0.0.1:8102"], protocol: tcp, backends: [127.0.0.1:9001] }
`
const ANOTHER = '{ listen: ["127.0.0.1:8006"], protocol: tcp, backends: [127.0.0.1:9001] }\n'

interface Files {
  readonly file: string
  write(main: string, included?: string): Promise<void>
}

async function files(t: Test): Promise<Files> {
  const folder = await mkdtemp(join(tmpdir(), 'evenkeel-reload-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'conf.d'))
  const file = join(folder, 'virtual-services.yaml')
  return {
    file,
    async write(main, included = INCLUDED) {
      await writeFile(file, main)
      await writeFile(join(folder, 'conf.d', 'more.yaml'), included)
    },
  }
}

/** All that is to be the same, however it was read. */
const told = ({ config, texts, files, folders }: Loaded) => ({
  config,
  order: Object.keys(config.virtualServices),
  texts,
  files,
  folders,
})

function valid(loaded: LoadResult | Loaded): Loaded {
  if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
  return loaded
}

/** Names of the services that were not read again. */
const untouched = (before: Loaded, after: Loaded): string[] =>
  Object.keys(after.config.virtualServices).filter(
    (name) => before.config.virtualServices[name] === after.config.virtualServices[name],
  )

t.test('a service that has not changed is not read again, and what comes out is as if all were', async (t) => {
  const { file, write } = await files(t)
  const cases: [what: string, main: string, included: string, untouched: string][] = [
    ['nothing', PLAIN, INCLUDED, 'first second third fourth fifth more last'],
    ['a value', PLAIN.replace('weight: 2', 'weight: 20'), INCLUDED, 'second third fourth fifth more last'],
    [
      'a line more',
      PLAIN.replace('protocol: https', 'protocol: https\n    retries: 1'),
      INCLUDED,
      'first second fourth fifth more last',
    ],
    ['a secret', PLAIN.replace('of the third', 'a longer one'), INCLUDED, 'first second fourth fifth more last'],
    ['the last one', PLAIN.replace('source-ip', 'none'), INCLUDED, 'first second third fourth more last'],
    ['one more at the end', `${PLAIN}  sixth: ${ANOTHER}`, INCLUDED, 'first second third fourth more last'],
    [
      'one more in the middle',
      PLAIN.replace('  third:', `  constructor: ${ANOTHER}  third:`),
      INCLUDED,
      'first fourth fifth more last',
    ],
    ['one that is gone', PLAIN.replace(/ {2}second:[\s\S]*?(?= {2}third:)/, ''), INCLUDED, 'fourth fifth more last'],
    ['another name', PLAIN.replace('  second:', '  2nd:'), INCLUDED, 'third fourth fifth more last'],
    ['an included file', PLAIN, INCLUDED.replace('8102', '8103'), 'first second third fourth fifth more'],
    ['defaults', PLAIN.replace('connect: 1s', 'connect: 3s'), INCLUDED, ''],
    ['an option of the appliance', `${PLAIN}appliance: { watch: true }\n`, INCLUDED, ''],
    ['an anchor', PLAIN.replace('  second:', '  second: &all'), INCLUDED, ''],
  ]
  for (const [what, main, included, kept] of cases) {
    await write(PLAIN)
    const before = valid(await loadConfig(file))
    await write(main, included)
    const after = valid(await reloadConfig(file, before))
    t.ok(isDeepStrictEqual(told(after), told(valid(await loadConfig(file)))), what)
    const known = untouched(before, after)
    if (kept === '') t.strictSame(known, [], `${what}: all were read`)
    else
      t.ok(
        kept.split(' ').every((name) => known.includes(name)),
        `${what}: ${known.join(' ')}`,
      )
  }
})

t.test('the text that is shown hides the secrets of services that were not read again', async (t) => {
  const { file, write } = await files(t)
  await write(PLAIN)
  let loaded = valid(await loadConfig(file))
  for (const listen of ['0.0.0.0:80', '127.0.0.1:18001']) {
    await write(PLAIN.replace('127.0.0.1:8001', listen))
    loaded = valid(await reloadConfig(file, loaded))
    const [{ shown = '' } = {}] = loaded.texts
    for (const secret of ['secret of the admin', 'of the third', 'hidden']) t.notMatch(shown, secret)
    t.match(shown, listen)
  }
})

t.test('what is wrong is told with its place, also where only a part would have had to be read', async (t) => {
  const { file, write } = await files(t)
  await write(PLAIN)
  const before = valid(await loadConfig(file))
  for (const [what, main] of [
    ['an option', PLAIN.replace('weight: 2', 'weight: 2000')],
    ['a name twice', PLAIN.replace('  second:', '  first:')],
    ['an address twice', PLAIN.replace('8004', '8001')],
    ['a quote that is not closed', PLAIN.replace('path: /health', 'path: "/health')],
    ['a key too far left', PLAIN.replace('    protocol: tcp', '  protocol: tcp')],
    ['a name of an included service', PLAIN.replace('  second:', '  more:')],
    ['a second document', PLAIN.replace('# the last', '---')],
  ] as const) {
    await write(main)
    const [quick, whole] = [await reloadConfig(file, before), await loadConfig(file)]
    t.notOk(whole.ok, what)
    t.strictSame(quick, whole, what)
  }
})

const WORDS = `" ' # | > { } [ ] , ? % a 8009 &a *a !!str`.split(' ')
const MARKS = [' #', '- ', ': ', '\n', '\n\n', '  ', '\t', '\r\n', '---\n', '...\n', '# remark\n', '|\n      text\n']
const LINES = [' x: 1\n', '  x:\n', '    retries: 1\n', `  s9: ${ANOTHER}`, `\${BALANCE:-hash}`]

const RUNS = Number(process.env['RELOAD_RUNS'] ?? 40)
const SEED = Number(process.env['RELOAD_SEED'] ?? 20_261_121)

t.test('whatever is done to the text, read in parts it is what it is when it is read whole', async (t) => {
  const { file, write } = await files(t)
  const edit = fc.record({
    at: fc.nat(),
    cut: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(80)),
    put: fc.constantFrom('', ...WORDS, ...MARKS, ...LINES),
    atLine: fc.boolean(),
  })
  let [inParts, read] = [0, 0]
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
      await write(PLAIN)
      let before = valid(await loadConfig(file))
      let text = PLAIN
      for (const { at, cut, put, atLine } of edits) {
        const place = at % (text.length + 1)
        const from = atLine ? text.lastIndexOf('\n', place) + 1 : place
        const next = text.slice(0, from) + put + text.slice(from + cut)
        await write(next)
        const [quick, whole] = [await reloadConfig(file, before), await loadConfig(file)]
        if (!whole.ok || !quick.ok) {
          if (quick.ok || whole.ok) throw new Error(`valid in one way only: ${JSON.stringify(next)}`)
          continue // the text before goes on to be edited
        }
        if (!isDeepStrictEqual(told(quick), told(whole))) throw new Error(`read otherwise: ${JSON.stringify(next)}`)
        text = next
        read++
        if (untouched(before, quick).length > 0) inParts++
        before = quick
      }
    }),
    { numRuns: RUNS, seed: SEED },
  )
  t.ok(inParts > read / 4, `${inParts} of ${read} were read in parts`)
})
