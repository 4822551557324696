/** Starting and ending the processes of a bench. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { readTree } from '../../bench/cpu.ts'
import { firstLine, freePorts, untilListening } from '../../bench/net.ts'
import { findProgram } from '../../bench/peers/installed.ts'
import { Processes } from '../../bench/processes.ts'

const NEVER = new AbortController().signal
const taskset = findProgram('taskset', ['--version'], /([\d.]+)/)
const options = 'version' in taskset && process.platform === 'linux' ? {} : { skip: 'needs Linux and taskset' }
const NODE = { core: 0, stdout: 'pipe' } as const

function setUp(t: Test): Processes {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-test-'))
  const processes = new Processes(folder, 200)
  t.teardown(async () => {
    await processes.stopAll()
    rmSync(folder, { recursive: true })
  })
  return processes
}

/** Waits until a claim holds, at most five seconds. */
async function until(claim: () => boolean): Promise<boolean> {
  for (const deadline = performance.now() + 5000; performance.now() < deadline; await delay(10))
    if (claim()) return true
  return claim()
}

t.test('a process that ignores SIGTERM ends with its children', options, async (t) => {
  const processes = setUp(t)
  const child = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')`
  const parent = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: 'inherit' });
    process.on('SIGTERM', () => {})`
  const started = await processes.start('stubborn', process.execPath, ['-e', parent], NODE)
  t.equal(await firstLine(started, NEVER), 'ready')
  const tree = readTree(started.pid)
  t.equal(tree.length, 2)
  await processes.stop(started)
  t.ok(started.ended)
  t.ok(await until(() => tree.every((pid) => !existsSync(`/proc/${pid}`))), 'nobody of the tree is left')
})

t.test('a process that ended by itself is told with what it complained about', options, async (t) => {
  const processes = setUp(t)
  const script = `console.error('no such option'); process.exitCode = 3`
  const started = await processes.start('broken', process.execPath, ['-e', script], NODE)
  await t.rejects(firstLine(started, NEVER), /broken ended without printing a line: no such option/)
  t.ok(await until(() => started.ended))
  t.throws(() => started.assertRunning(), /broken ended by itself with code 3: no such option/)
})

t.test('a port is waited for until the process listens', options, async (t) => {
  const processes = setUp(t)
  const [port = 0] = await freePorts(1)
  const script = `require('net').createServer().listen(${port}, '127.0.0.1')`
  const started = await processes.start('server', process.execPath, ['-e', script], NODE)
  await untilListening(started, [port], NEVER)
  t.doesNotThrow(() => started.assertRunning())
})

t.test('waiting for a port ends when the process does', options, async (t) => {
  const processes = setUp(t)
  const [port = 0] = await freePorts(1)
  const started = await processes.start('short', process.execPath, ['-e', ''], NODE)
  await t.rejects(untilListening(started, [port], NEVER), /short ended by itself with code 0/)
})

t.test('an interrupt ends the wait for a first line', options, async (t) => {
  const processes = setUp(t)
  const started = await processes.start('silent', process.execPath, ['-e', 'setInterval(() => {}, 1000)'], NODE)
  const interrupt = new AbortController()
  const waiting = firstLine(started, interrupt.signal)
  interrupt.abort()
  await t.rejects(waiting, { name: 'AbortError' })
})
