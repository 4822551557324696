/** Upgrades that can't be: the process that runs goes on as if nothing had been, and the answer says why. */
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { UpgradeAnswer } from '../../lib/admin/index.ts'
import { askRaw } from '../admin/support.ts'
import { folder, run, start as startCommand } from '../cli/support.ts'
import { refusedPort } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { answersAt, config, Estate, echoed, flow, start, statusOf } from './fixtures/reloads.ts'
import { logOf } from './fixtures/support.ts'
import { ended, upgrade } from './fixtures/upgrades.ts'

const estate = await Estate.of(t)
const services = { web: estate.web(), raw: estate.raw() }
const headers = { 'content-type': 'application/json' }

/** Somebody else's port. */
async function takenPort(t: Test): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A configuration with which no process is ever ready: the ticket keys are in a pipe into which nobody writes. */
async function endless(t: Test): Promise<object> {
  const file = join(await folder(t), 'pipe')
  await promisify(execFile)('mkfifo', [file])
  return config(services, { appliance: { threads: 1, tickets: { file } } })
}

/** Still the same process, and it does all that it did. */
async function goesOn(t: Test, balancer: Balancer): Promise<void> {
  t.equal((await statusOf(balancer)).pid, balancer.pid)
  for (let i = 0; i < 10; i++) t.equal(await answersAt(balancer.port('web')), 'a')
  const path = '/api/v1/services/web/backends/a/weight'
  const weight = Math.floor(Math.random() * 200) + 2
  const answer = await askRaw(balancer.admin, path, { method: 'POST', headers, body: JSON.stringify({ weight }) })
  t.equal(answer.status, 200, 'operators are obeyed')
  t.equal((JSON.parse(answer.body) as { unsaved: unknown }).unsaved, null, 'and it is written down')
}

t.test('a configuration or surroundings in which the new process can not start', async (t) => {
  const taken = await takenPort(t)
  const before = config(services, { appliance: { threads: 1 }, admin: { listen: `127.0.0.1:${await refusedPort()}` } })
  const balancer = await startBalancer(t, before)
  const stream = await flow(balancer.port('raw'))
  const there = { listen: [`127.0.0.1:${taken}`] }
  const rows: [string, object, RegExp][] = [
    [
      'an error in it',
      { ...before, virtualServices: { web: { ...services.web, balance: 'best' } } },
      /virtual-services\.yaml:\d+:\d+ .*balance/,
    ],
    [
      'a port of others',
      { ...before, virtualServices: { ...services, more: estate.web(there) } },
      /more can't listen on .*: the port is in use/,
    ],
    [
      'a key that is not there',
      {
        ...before,
        virtualServices: {
          tls: { ...services.raw, protocol: 'tls', tls: { certificates: [{ cert: 'no.pem', key: 'no.key' }] } },
        },
      },
      /no\.(pem|key)/,
    ],
    [
      'an admin address of others',
      { ...before, admin: { listen: `127.0.0.1:${taken}` } },
      /admin can't listen on .*: the port is in use/,
    ],
  ]
  for (const [what, after, why] of rows) {
    await balancer.rewrite(after)
    const { result, exit, sentence, pid } = await upgrade(t, balancer)
    t.match({ result, exit, pid }, { result: 'failed', exit: 1, pid: null }, what)
    t.match(sentence, /^nothing has changed: /)
    t.match(sentence, why)
    await goesOn(t, balancer)
    await echoed(stream)
  }
  const { problems } = await statusOf(balancer)
  t.match(problems, [{ service: '', message: /the upgrade at .* failed: nothing has changed: admin can't listen/ }])
  await balancer.rewrite(before)
  t.equal((await upgrade(t, balancer)).result, 'done', 'and then it can')
  await echoed(stream)
  stream.end()
  await ended(balancer.pid)
})

/** The pid of the process that is preparing, as the log tells it. */
const preparing = (balancer: Balancer): Promise<number> =>
  eventually(
    'another process prepares',
    () =>
      logOf(balancer).findLast(({ msg }) => /prepares to take over/.test(String(msg)))?.['pid'] as number | undefined,
    15_000,
  )

t.test('one that is never ready is given up; meanwhile nothing else may be changed', async (t) => {
  const balancer = await start(t, services, { appliance: { threads: 1 } })
  await balancer.rewrite(await endless(t))
  const upgrading = upgrade(t, balancer, { timeout: '8s' })
  const pid = await preparing(balancer)
  const again = await askRaw(balancer.admin, '/api/v1/upgrade', { method: 'POST', headers, body: '{}' })
  t.equal(again.status, 409)
  t.match(JSON.parse(again.body) as UpgradeAnswer, { result: 'refused', exit: 5, sentence: /an upgrade is under way/ })
  const verb = await askRaw(balancer.admin, '/api/v1/services/web/stop', { method: 'POST', headers, body: '{}' })
  t.match({ status: verb.status, body: verb.body }, { status: 409, body: /an upgrade is under way/ })
  t.match(await upgrading, { result: 'failed', sentence: /it was not ready within 8 s/ })
  await ended(pid)
  await goesOn(t, balancer)
})

t.test('Ctrl-C of the command gives the new process up', async (t) => {
  const balancer = await start(t, services, { appliance: { threads: 1 } })
  await balancer.rewrite(await endless(t))
  const command = await startCommand(t, ['upgrade', '--admin', balancer.admin])
  const pid = await preparing(balancer)
  command.child.kill('SIGINT')
  await ended(pid)
  await eventually('it is told', () => logOf(balancer).some(({ msg }) => /who asked for it has gone/.test(String(msg))))
  await goesOn(t, balancer)
})

t.test('a new process that dies, and an old one that is told to stop meanwhile', async (t) => {
  const balancer = await start(t, services, { appliance: { threads: 1 } })
  await balancer.rewrite(await endless(t))
  const upgrading = upgrade(t, balancer)
  process.kill(await preparing(balancer), 'SIGKILL')
  t.match(await upgrading, { result: 'failed', sentence: /it ended with SIGKILL/ })
  await goesOn(t, balancer)
  const count = logOf(balancer).length
  const next = upgrade(t, balancer).catch(() => null)
  const pid = await eventually(
    'another process prepares',
    () =>
      logOf(balancer)
        .slice(count)
        .find(({ msg }) => /prepares to/.test(String(msg)))?.['pid'] as number | undefined,
    15_000,
  )
  balancer.process.kill('SIGTERM')
  await ended(pid)
  await ended(balancer.pid)
  await next
})

t.test('what is not tried: wrong wishes, the demo', async (t) => {
  const balancer = await start(t, services, { appliance: { threads: 1 } })
  for (const body of ['{"timeout":"soon"}', '{"timeout":0}', '{"timeout":5}', '{"haste":true}', '[]'])
    t.equal((await askRaw(balancer.admin, '/api/v1/upgrade', { method: 'POST', headers, body })).status, 400, body)
  t.match(await run(t, ['upgrade', '--timeout', 'soon']), { code: 2, stderr: /--timeout/ })
  await goesOn(t, balancer)
})
