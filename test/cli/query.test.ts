/** `evenkeel query` against a running balancer, as a user types it. */

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { BackendView, ServiceView } from '../../lib/admin/index.ts'
import { serviceOf, setUp, untilAll } from '../admin/support.ts'
import { refusedPort, type Teardown } from '../support/backend.ts'
import { eventually, within } from '../support/eventually.ts'
import { folder, run, start, startOnTerminal } from './support.ts'

const shared = await setUp(t)

t.test('every backend has a line that tells its state, why, and its last probe', async (t) => {
  const { balancer, backends } = shared
  await untilAll(balancer, 'web', 'up')
  await untilAll(balancer, 'echo', 'up')
  const { code, stdout, stderr } = await run(t, ['query', '--admin', balancer.admin])
  t.equal(stderr, '')
  t.equal(code, 0)
  const [appliance, blank, head = '', ...rows] = stdout.trimEnd().split('\n')
  t.same([appliance, blank], ['the appliance: started', ''])
  t.same(
    head.split(/ {2,}/),
    'SERVICE BACKEND ADDRESS STATE SINCE WHY ACTIVE WEIGHT LAST+PROBE'.split(' ').map((s) => s.replace('+', ' ')),
  )
  t.equal(rows.length, 3)
  const [service, name, address, state, since, why, active, weight, probe] = (rows[0] ?? '').split(/ {2,}/)
  t.same([service, name, address, state, active, weight], ['web', 'a', backends[0], 'up', '0', '3'])
  t.match(since, /^\d+s$/)
  t.equal(why, 'connected')
  t.match(probe, /^ok \d+(?:\.\d)? ms, \d\.\d s ago$/)
  t.notMatch(stdout, '\x1b')
})

t.test('a service has its listeners above, a backend its details with the last results', async (t) => {
  const { balancer } = shared
  await untilAll(balancer, 'web', 'up')
  await eventually('ten results', async () => {
    const { backends } = await serviceOf(balancer, 'web')
    return backends[0]?.probe.results.length === 10
  })
  const service = await run(t, ['query', 'web', '--admin', balancer.admin])
  t.match(
    service.stdout,
    `web  http  round-robin  on ${balancer.addresses('web')[0]}  0 connections\nweb: started\n\nSERVICE`,
  )
  t.notMatch(service.stdout, 'echo')
  const backend = await run(t, ['query', 'web/a', '--admin', balancer.admin])
  t.match(backend.stdout, /^web\/a {2}up\n/)
  t.match(backend.stdout, /^weight +3$/m)
  t.match(backend.stdout, /^health +passing, \d+ results alike in a row$/m)
  t.equal(backend.stdout.match(/^\d\.\d s ago +ok +\d+(?:\.\d)? ms +connected$/gm)?.length, 10)
})

t.test('--json prints what the API answers', async (t) => {
  const { balancer } = shared
  const json = async (...args: string[]): Promise<unknown> => {
    const { stdout } = await run(t, ['query', ...args, '--json', '--admin', balancer.admin])
    t.equal(stdout.indexOf('\n'), stdout.length - 1, 'one line')
    return JSON.parse(stdout)
  }
  t.same(
    ((await json()) as ServiceView[]).map(({ name }) => name),
    ['web', 'echo'],
  )
  t.equal(((await json('echo')) as ServiceView).protocol, 'tcp')
  t.equal(((await json('web/a')) as BackendView).weight, 3)
})

t.test('an unknown name is exit code 1, with the name that was meant', async (t) => {
  const { balancer } = shared
  for (const [target, message] of [
    ['wab', 'there is no service wab (did you mean web?)'],
    ['web/A1', 'service web has no backend A1 (did you mean a?)'],
    ['nothing-like-it', 'there is no service nothing-like-it'],
  ] as const) {
    const { code, stdout, stderr } = await run(t, ['query', target, '--admin', balancer.admin])
    t.equal(code, 1)
    t.equal(stdout, '')
    t.equal(stderr, `evenkeel: ${message}\n`)
  }
})

t.test('a balancer that can not be reached is exit code 3, with where and why', async (t) => {
  const port = await refusedPort()
  const { code, stdout, stderr } = await run(t, ['query', '--admin', `127.0.0.1:${port}`])
  t.equal(code, 3)
  t.equal(stdout, '')
  t.equal(stderr, `evenkeel: the balancer can't be reached at 127.0.0.1:${port}: connect failed: ECONNREFUSED\n`)
})

async function serve(
  t: Teardown,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('something else that answers there is no balancer: exit code 3', async (t) => {
  const admin = await serve(t, (_request, response) => response.end('<!doctype html>'))
  const { code, stderr } = await run(t, ['query', '--admin', admin])
  t.equal(code, 3)
  t.match(stderr, `what answers at ${admin} is not evenkeel's admin API`)
})

t.test('wrong usage is exit code 2', async (t) => {
  for (const args of [
    ['query', '--admin', 'nonsense'],
    ['query', '--admin', '127.0.0.1'],
    ['query', 'web/'],
    ['query', '/a'],
    ['query', '--watch=0'],
    ['query', 'web', '--watch=soon'],
    ['query', '--no-such-option'],
    ['query', 'web', 'echo'],
  ]) {
    const { code, stderr } = await run(t, args)
    t.equal(code, 2, args.join(' '))
    t.not(stderr, '')
  }
})

t.test('the token comes from the option or the environment; without one it is asked for', async (t) => {
  const { balancer } = await setUp(t, { admin: { listen: '127.0.0.1:0', token: 'secret' } })
  const query = (args: string[], env: Record<string, string> = {}) =>
    run(t, ['query', '--json', '--admin', balancer.admin, ...args], { env })
  t.equal((await query(['--token', 'secret'])).code, 0)
  t.equal((await query([], { EVENKEEL_ADMIN_TOKEN: 'secret' })).code, 0)
  t.equal((await query(['--token', 'secret'], { EVENKEEL_ADMIN_TOKEN: 'wrong' })).code, 0)
  for (const { code, stderr } of [await query([]), await query(['--token', 'wrong'])]) {
    t.equal(code, 1)
    t.match(stderr, 'the balancer wants its token: give --token, or set EVENKEEL_ADMIN_TOKEN')
  }
})

t.test('where the balancer listens is taken from the configuration in the folder', async (t) => {
  const { balancer } = await setUp(t, { admin: { listen: '127.0.0.1:0', token: 'secret' } })
  const cwd = await folder(t)
  const admin = { listen: balancer.admin.replace('127.0.0.1', '0.0.0.0'), token: 'secret' }
  await writeFile(join(cwd, 'virtual-services.yaml'), JSON.stringify({ version: 1, admin, virtualServices: {} }))
  const { code, stdout, stderr } = await run(t, ['query', 'echo', '--json'], { cwd })
  t.equal(stderr, '')
  t.equal(code, 0)
  t.equal((JSON.parse(stdout) as ServiceView).name, 'echo')
})

t.test('--watch --json gives an answer a line until SIGINT, which is exit code 0', async (t) => {
  const { balancer } = await setUp(t)
  const { child, stdout, ended } = await start(t, ['query', '--watch=0.1', '--json', '--admin', balancer.admin, 'web'])
  const lines = await eventually('three answers', () => {
    const whole = stdout().split('\n').slice(0, -1)
    return whole.length >= 3 && whole
  })
  for (const line of lines) t.equal((JSON.parse(line) as ServiceView).name, 'web')
  child.kill('SIGINT')
  t.equal((await within(ended, 'the end')).code, 0)
})

const STATUS = JSON.stringify({
  overload: [],
  problems: [],
  departing: [],
  operated: { operations: 'started', sentence: 'started' },
})

t.test('--watch waits for a balancer that goes away, and shows the one that comes back', async (t) => {
  let gone = false
  const admin = await serve(t, (request, response) => {
    if (gone) request.socket.destroy()
    else response.end(request.url === '/api/v1/status' ? STATUS : '[]')
  })
  const { child, stdout, stderr, ended } = await start(t, ['query', '--watch=0.1', '--admin', admin])
  await eventually('an answer', () => stdout().includes('no services'))
  gone = true
  await eventually('the complaint', () => stderr().includes("can't be reached"))
  t.match(stderr(), `evenkeel: the balancer can't be reached at ${admin}: `)
  gone = false
  const before = stdout().length
  await eventually('an answer', () => stdout().length > before)
  child.kill('SIGTERM')
  t.equal((await within(ended, 'the end')).code, 0)
})

t.test('--watch takes what follows for the target when it is no number', async (t) => {
  const { balancer } = await setUp(t)
  const { child, stdout, ended } = await start(t, ['query', '--admin', balancer.admin, '--watch', 'echo'])
  await eventually('the table', () => stdout().includes('echo  tcp  round-robin'))
  child.kill('SIGINT')
  t.equal((await within(ended, 'the end')).code, 0)
})

t.test('on a terminal --watch redraws in place, in colour and within its width', async (t) => {
  const { balancer } = await setUp(t)
  await untilAll(balancer, 'web', 'up')
  const { child, stdout } = await startOnTerminal(t, ['query', '--watch=0.1', '--admin', balancer.admin])
  await eventually('the third screen', () => stdout().split('\x1b[H').length > 4)
  const [first = '', screen = ''] = stdout().split('\x1b[H')
  t.match(first, '\x1b[2J')
  t.match(screen, '\x1b[32mup\x1b[0m')
  t.match(screen, '\x1b[J')
  const text = screen.replace(/\x1b\[[0-9;]*[A-Za-z]/g, '')
  const lines = text.split('\r\n')
  t.match(lines[0], /^\d\d:\d\d:\d\d$/)
  t.equal(lines[1], 'the appliance: started')
  t.match(lines[3], /^SERVICE +BACKEND/)
  for (const line of lines) t.ok([...line].length <= 100, line)
  child.stdin?.write('\x03')
  await eventually('the end', () => child.exitCode !== null)
  t.equal(child.exitCode, 0, 'Ctrl-C')
})
