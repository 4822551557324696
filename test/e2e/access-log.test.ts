/** The access log as a file: its formats, and that it can be moved away without losing a line. */
import { readFile, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect } from '../support/raw.ts'
import { logOf } from './fixtures/support.ts'

const backend = await startBackend(t)
const echo = await startTcpBackend(t)
const virtualServices = {
  web: { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] },
  raw: { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [echo.address] },
}
const linesIn = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')

/** One request and one TCP flow. */
async function visit(balancer: Balancer): Promise<void> {
  const web = await connect(balancer.port('web'))
  web.send(
    'GET /a"b?c=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: te"st\r\nReferer: http://x/\r\nConnection: close\r\n\r\n',
  )
  await web.readResponse()
  web.destroy()
  const raw = await connect(balancer.port('raw'))
  raw.send('hello')
  await raw.readBytes(5)
  raw.end()
  await raw.untilClosed()
}

const STAMP = '\\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d \\+0000\\]'
const formats: readonly (readonly [string, readonly RegExp[]])[] = [
  ['json', [/^\{.*"target":"\/a\\"b\?c=1".*"status":200.*\}$/, /^\{.*"service":"raw".*"bytesIn":5.*\}$/]],
  [
    'common',
    [
      new RegExp(`^127\\.0\\.0\\.1 - - ${STAMP} "GET /a\\\\"b\\?c=1 HTTP/1\\.1" 200 \\d+$`),
      new RegExp(`^127\\.0\\.0\\.1 - - ${STAMP} "TCP raw" - 5$`),
    ],
  ],
  [
    'combined',
    [
      new RegExp(`^127\\.0\\.0\\.1 - - ${STAMP} "GET /a\\\\"b\\?c=1 HTTP/1\\.1" 200 \\d+ "http://x/" "te\\\\"st"$`),
      new RegExp(`^127\\.0\\.0\\.1 - - ${STAMP} "TCP raw" - 5 "-" "-"$`),
    ],
  ],
  ['off', []],
]

for (const [format, expected] of formats) {
  t.test(`format ${format}`, async (t) => {
    const path = join(t.testdir(), 'logs', 'access.log')
    const balancer = await startBalancer(t, { accessLog: { path, format }, virtualServices })
    await visit(balancer)
    t.equal((await balancer.stop()).code, 0)
    const lines = await linesIn(path)
    t.equal(lines.length, expected.length)
    for (const [i, pattern] of expected.entries()) t.match(lines[i], pattern)
  })
}

t.test('lines go to stdout behind the line of the start, and SIGUSR1 does no harm there', async (t) => {
  const balancer = await startBalancer(t, { accessLog: { path: 'stdout' }, virtualServices })
  const long = await connect(balancer.port('raw'))
  long.send('hello')
  await long.readBytes(5)
  balancer.process.kill('SIGUSR1')
  await visit(balancer)
  await eventually('both lines', () => balancer.stdout().split('\n').length > 3)
  const [start = '', ...lines] = balancer.stdout().trim().split('\n')
  t.equal(JSON.parse(start).event, 'started')
  t.strictSame(
    lines.map((line) => JSON.parse(line).service),
    ['web', 'raw'],
  )
  long.send('still')
  t.equal((await long.readBytes(5)).toString(), 'still', 'no thread died of the signal')
  t.notMatch(balancer.stderr(), /died/)
  long.destroy()
})

t.test(
  'SIGUSR1 opens the file anew after a rename: no line is lost, doubled or torn, over several turns under load',
  async (t) => {
    const dir = t.testdir()
    const path = join(dir, 'access.log')
    const balancer = await startBalancer(t, { appliance: { threads: 2 }, accessLog: { path }, virtualServices })
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(balancer.port('web'))))
    let sent = 0
    let over = false
    const load = Promise.all(
      clients.map(async (client) => {
        while (!over) {
          sent++
          client.send('GET /load HTTP/1.1\r\nHost: a.test\r\n\r\n')
          await client.readResponse()
          await pause()
        }
      }),
    )
    const turns = 4
    for (let turn = 1; turn <= turns; turn++) {
      const before = sent
      await eventually('requests', () => sent > before + 300)
      await rename(path, `${path}.${turn}`)
      balancer.process.kill('SIGUSR1')
      await eventually('the new file has lines', async () => (await linesIn(path)).length > 0)
    }
    over = true
    await within(load, 'the end of the load')
    for (const client of clients) client.destroy()
    t.equal((await balancer.stop()).code, 0)
    const files = [path, ...Array.from({ length: turns }, (_, i) => `${path}.${i + 1}`)]
    const all = (await Promise.all(files.map(linesIn))).flat()
    t.equal(all.length, sent)
    t.equal(new Set(all.map((line) => JSON.parse(line).id)).size, sent)
    t.strictSame(
      logOf(balancer).filter(({ level }) => Number(level) > 30),
      [],
    )
  },
)

t.test('a log that can not be opened is told, the service goes on, and so does the log once it can', async (t) => {
  const path = join(t.testdir({ 'access.log': {} }), 'access.log') // a folder stands where the file should be
  const balancer = await startBalancer(t, { accessLog: { path }, virtualServices })
  const long = await connect(balancer.port('raw'))
  await visit(balancer)
  await eventually('a warning', () => logOf(balancer).some(({ msg }) => /access log .*EISDIR/.test(String(msg))))
  balancer.process.kill('SIGUSR1')
  await rmdir(path)
  await eventually('lines', async () => {
    await visit(balancer)
    return (await linesIn(path)).length > 0
  })
  long.send('still')
  t.equal((await long.readBytes(5)).toString(), 'still', 'no thread died of it')
  t.equal(logOf(balancer).filter(({ msg }) => /EISDIR/.test(String(msg))).length, 1, 'told once')
  long.destroy()
})
