/** What a reload would do, how one is taken back, and the configuration over the API: each through the same door. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { PastConfigView, PlanAnswer, ReloadAnswer } from '../../lib/admin/index.ts'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { CLI } from '../cli/support.ts'
import { refusedPort } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { answersAt, become, config, Estate, flow, start, statusOf, viewOf } from './fixtures/reloads.ts'

const estate = await Estate.of(t)

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function command(balancer: Balancer, ...args: readonly string[]): Promise<Ran> {
  try {
    const done = await promisify(execFile)(process.execPath, [CLI, ...args, '--admin', balancer.admin])
    return { code: 0, ...done }
  } catch (error) {
    const { code, stdout, stderr } = error as Ran
    return { code, stdout, stderr }
  }
}

async function api<T>(balancer: Balancer, method: string, path: string, body?: string, headers = {}) {
  const type = { 'content-type': 'application/yaml' }
  const init = body === undefined ? { method } : { method, body, headers: { ...type, ...headers } }
  const answer = await balancer.get(`/api/v1/${path}`, init)
  return { status: answer.status, value: (await answer.json()) as T }
}

t.test('plan shows what comes, changes and goes, and the flows that drain; it changes nothing', async (t) => {
  const both = [
    { name: 'echo', address: estate.echo.address },
    { name: 'other', address: estate.other.address, weight: 0 },
  ]
  const balancer = await start(t, { web: estate.web(), raw: estate.raw({ backends: both }), old: estate.raw() })
  await flow(balancer.port('raw'))
  await flow(balancer.port('old'))
  await balancer.rewrite(
    config(
      {
        web: estate.web({ retries: 1, ...estate.onB }),
        raw: estate.raw({ backends: [{ ...both[1], weight: 5 }] }),
        fresh: estate.raw(),
      },
      { appliance: { threads: 3 } },
    ),
  )
  const { status, value } = await api<PlanAnswer>(balancer, 'POST', 'plan')
  t.equal(status, 200)
  t.match(value, {
    exit: 1,
    plan: {
      services: [
        {
          name: 'web',
          step: 'change',
          differences: [{ path: 'retries', before: 2, after: 1 }],
          backends: [
            { name: 'b', step: 'add' },
            { name: 'a', step: 'remove', flows: 0 },
          ],
        },
        {
          name: 'raw',
          step: 'change',
          flows: 1,
          drainMs: 300_000,
          backends: [
            { name: 'other', step: 'change', differences: [{ path: 'weight', before: 0, after: 5 }] },
            { name: 'echo', step: 'remove', flows: 1 },
          ],
        },
        { name: 'fresh', step: 'add', opened: ['127.0.0.1:0'] },
        { name: 'old', step: 'remove', flows: 1, closed: ['127.0.0.1:0'] },
      ],
      refusals: [/appliance\.threads/],
    },
  })
  const shown = await command(balancer, 'plan')
  t.equal(shown.code, 1, 'a reload would be refused')
  for (const line of [
    '~ web',
    '    ~ retries: 2 → 1',
    `    + backend b ${estate.b.address}`,
    `    - backend echo ${estate.echo.address}: 1 flow drains, at most 300 s`,
    '        ~ weight: 0 → 5',
    '+ fresh',
    '- old: 1 flow drains, at most 300 s',
    '~ appliance.threads: 2 → 3',
  ])
    t.ok(shown.stdout.includes(`${line}\n`), line)
  t.match(shown.stdout, /^would be refused: appliance\.threads can't change/m)
  t.equal(await answersAt(balancer.port('web')), 'a')
  t.match((await statusOf(balancer)).config, { hash: value.hash, last: null })
})

t.test('plan tries ports and files as a reload would, and tells of each service that could not be', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const free = await refusedPort()
  const authority = await makeAuthority('plan', 7)
  const [one, other] = [await makeLeaf(authority, ['one.test'], 7), await makeLeaf(authority, ['other.test'], 7)]
  for (const [name, text] of Object.entries({ 'one.pem': one.cert, 'one.key': one.key, 'other.key': other.key }))
    await writeFile(join(balancer.dir, name), text)
  const secure = (key: string): object => ({
    ...estate.raw(),
    protocol: 'tls',
    tls: { certificates: [{ cert: 'one.pem', key }] },
  })
  const planned = (more: object) =>
    balancer.rewrite(config({ web: estate.web({ retries: 1 }), ...more })).then(() => command(balancer, 'plan'))
  const trusting = estate.raw({ backendTls: { ca: 'none.pem' } })
  const wrong = await planned({
    busy: estate.raw({ listen: [`127.0.0.1:${port}`] }),
    mixed: secure('other.key'),
    trusting,
    fine: estate.raw({ listen: [`127.0.0.1:${free}`] }),
  })
  t.equal(wrong.code, 1)
  for (const line of [
    new RegExp(`^would be refused: service busy can't listen on 127\\.0\\.0\\.1:${port}: the port is in use`, 'm'),
    /^would be refused: service mixed: the key in .*other\.key does not belong to the certificate/m,
    /^would be refused: service trusting: .*none\.pem/m,
    /^~ web$/m,
  ])
    t.match(wrong.stdout, line)
  t.notMatch(wrong.stdout, /refused: service (?:fine|web)|--if-hash/)
  const [code] = (await once(connect({ port: free, host: '127.0.0.1' }), 'error')) as [NodeJS.ErrnoException]
  t.equal(code.code, 'ECONNREFUSED', 'nothing listens there')
  t.match((await statusOf(balancer)).config, { last: null })
  t.equal(await answersAt(balancer.port('web')), 'a')
  const right = await planned({ mixed: secure('one.key'), fine: estate.raw({ listen: [`127.0.0.1:${free}`] }) })
  t.match(right, { code: 0, stdout: /listens on .*--if-hash/s })
  t.match(await command(balancer, 'reload'), { code: 0, stdout: /mixed, fine added/ })
})

t.test(
  'plan takes another file; exit codes tell what is not valid, not readable, and that nothing differs',
  async (t) => {
    const balancer = await start(t, { web: estate.web() })
    const other = join(balancer.dir, 'other.yaml')
    const text = await readFile(balancer.file, 'utf8')
    await writeFile(other, text.replace(estate.a.address, estate.b.address))
    const json = await command(balancer, 'plan', other, '--json')
    t.match(JSON.parse(json.stdout), { exit: 0, plan: { services: [{ name: 'web' }] } })
    t.equal(json.code, 0)
    t.match(await command(balancer, 'plan'), { code: 0, stdout: /^nothing differs/ })
    await writeFile(other, text.replace('"http"', '"htpp"'))
    t.match(await command(balancer, 'plan', other), { code: 2, stderr: /other\.yaml:\d+:\d+ .*protocol/ })
    t.match(await command(balancer, 'plan', join(balancer.dir, 'none.yaml')), { code: 2, stderr: /can't be read/ })
  },
)

t.test('reload says what came of it, with the exit codes of all commands', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  t.match(await command(balancer, 'reload'), { code: 0, stdout: /^in force: no service differs/ })
  await balancer.rewrite(config({ web: estate.web({ retries: -1 }) }))
  t.match(await command(balancer, 'reload'), { code: 2, stderr: /web\.retries.*nothing has changed/s })
  t.match(await command(balancer, 'query'), { code: 0, stdout: /the last reload failed: nothing has changed/ })
  await balancer.rewrite(config({ web: estate.web() }, { appliance: { threads: 1 } }))
  t.match(await command(balancer, 'reload'), { code: 1, stderr: /appliance\.threads/ })
  t.match(await command(balancer, 'reload', '--if-hash', '0123456789abcdef'), { code: 5, stderr: /refused/ })
  await balancer.rewrite(config({ web: estate.web(estate.onB) }))
  t.match(await command(balancer, 'reload', '--json'), { code: 0, stdout: /"changed":\["web"\]/ })
  t.notMatch((await command(balancer, 'query')).stdout, /last reload/)
})

t.test('rollback brings the configuration before back, files and all, and back again', async (t) => {
  const included = (backend: object): string =>
    JSON.stringify({ version: 1, virtualServices: { part: estate.web(backend) } })
  const files = { 'part.yaml': included({}) }
  const main = config({ web: estate.web() }, { include: ['part*.yaml'] })
  const balancer = await startBalancer(t, main, { files })
  const part = join(balancer.dir, 'part.yaml')
  const first = await readFile(balancer.file, 'utf8')
  await writeFile(part, included(estate.onB))
  await become(balancer, { ...main, virtualServices: { web: estate.web(estate.onB) } })
  const port = balancer.port('part')
  t.equal(await answersAt(port), 'b')
  t.match(await command(balancer, 'rollback'), { code: 0, stdout: /^in force: .*web.* changed/ })
  t.equal(await answersAt(balancer.port('web')), 'a')
  t.equal(await answersAt(port), 'a')
  t.equal(await readFile(balancer.file, 'utf8'), first)
  t.equal(await readFile(part, 'utf8'), included({}))
  t.match(await command(balancer, 'reload'), { stdout: /no service differs/ })
  await rm(part) // what is gone since is written again
  t.match(await command(balancer, 'rollback', '1'), { code: 0 })
  t.equal(await readFile(part, 'utf8'), included(estate.onB))
  t.equal(await answersAt(port), 'b')
  const listed = (await api<PastConfigView[]>(balancer, 'GET', 'config/history')).value
  t.strictSame(
    listed.map(({ back }) => back),
    [0, 1, 2, 3],
  )
  t.equal(listed[0]?.hash, listed[2]?.hash)
  t.match(await command(balancer, 'rollback', '--list'), { code: 0, stdout: /now\s+[0-9a-f]{16}/ })
  t.match(await command(balancer, 'rollback', '9'), { code: 5, stderr: /are kept/ })
})

t.test('ten configurations are kept beside the state file, for their owner alone', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  for (let n = 0; n < 12; n++) await become(balancer, config({ web: estate.web({ retries: n % 11 }) }))
  const past = (await api<PastConfigView[]>(balancer, 'GET', 'config/history')).value
  t.equal(past.length, 10)
  const kept = join(balancer.dir, 'state', 'evenkeel.configs.json')
  t.equal((await stat(kept)).mode & 0o777, 0o600)
  const entries = JSON.parse(await readFile(kept, 'utf8')) as { entries: { hash: string }[] }
  t.strictSame(
    entries.entries.map(({ hash }) => hash),
    past.map(({ hash }) => hash),
  )
})

t.test(
  'the configuration is shown with its comments and without its secrets, and is written when it is in force',
  async (t) => {
    const yaml = (backend: string, more = ''): string => `# the shop
version: 1
admin:
  listen: "127.0.0.1:0"
  token: ""   # none here
virtualServices:
  web: # over HTTP
    listen: ["127.0.0.1:0"]
    protocol: http
    health: { type: none }
    backends: ["${backend}"]
${more}`
    const balancer = await startBalancer(t, yaml(estate.a.address))
    await chmod(balancer.file, 0o640)
    const shown = await balancer.get('/api/v1/config')
    const tag = shown.headers.get('etag') ?? ''
    const text = await shown.text()
    t.match(text, /^# the shop\n/)
    t.match(shown.headers.get('content-type') ?? '', /^application\/yaml/)
    const next = text.replace(estate.a.address, estate.b.address)
    const put = (body: string, headers = {}) => api<ReloadAnswer>(balancer, 'PUT', 'config', body, headers)
    t.match(await put(next, { 'if-match': tag }), { status: 200, value: { result: 'applied', unsaved: null } })
    t.equal(await answersAt(balancer.port('web')), 'b')
    t.equal(await readFile(balancer.file, 'utf8'), next, 'comments and all')
    t.equal((await stat(balancer.file)).mode & 0o777, 0o640)
    t.match(await put(text, { 'if-match': tag }), { status: 409, value: { result: 'refused' } })
    t.match(await put(next.replace('http\n', 'htpp\n')), { status: 422, value: { result: 'invalid' } })
    t.match(await put(`${next}    retries: 1\n`, { 'content-type': 'text/plain' }), { status: 400 })
    t.equal(await readFile(balancer.file, 'utf8'), next, 'what is not in force is not written')
    t.equal((await viewOf(balancer, 'web')).backends[0]?.address, estate.b.address)
  },
)

t.test('a secret in the file is not shown, and *** is not taken for one', async (t: Test) => {
  const health = '{ type: http, headers: { Authorization: Bearer-of-it } }'
  const yaml = `version: 1
virtualServices:
  web:
    listen: ["127.0.0.1:0"]
    protocol: http
    health: ${health}
    backends: ["${estate.a.address}"]
`
  const balancer = await startBalancer(t, yaml)
  const text = await (await balancer.get('/api/v1/config')).text()
  t.notMatch(text, /Bearer-of-it/)
  t.match(text, /Authorization: "\*\*\*"/)
  const answer = await api<ReloadAnswer>(
    balancer,
    'PUT',
    'config',
    text.replace('protocol:', 'retries: 1\n    protocol:'),
  )
  t.match(answer, { status: 422, value: { result: 'failed', sentence: /\*\*\* stands for a secret/ } })
  t.match(await readFile(balancer.file, 'utf8'), /Bearer-of-it/)
})
