/** Operators' verbs on the command line, against a running balancer. */
import { writeFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import type { OperationsView, VerbAnswer } from '../../lib/admin/index.ts'
import { setUp } from '../admin/support.ts'
import type { Balancer } from '../support/balancer.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { type Ended, folder, run, start, startOnTerminal } from './support.ts'

/** Runs commands against one balancer. */
const commands =
  (t: Test, balancer: Balancer) =>
  (...args: string[]): Promise<Ended> =>
    run(t, [...args, '--admin', balancer.admin])

/** A flow of the echo service, with the greeting of its first round trip done. */
async function flow(balancer: Balancer): Promise<RawClient> {
  const client = await connect(balancer.port('echo'))
  client.send('hello')
  await client.readBytes(5)
  return client
}

/** The line of a target in `query`. */
async function standing(command: ReturnType<typeof commands>, target: string): Promise<string | undefined> {
  const { stdout } = await command('query', ...(target === '' ? [] : [target]))
  const name = target === '' ? 'the appliance' : target
  return stdout.split('\n').find((line) => line.startsWith(`${name}: `))
}

const LEFT = /^[\w ]+: draining, 1 flow left, cut in \d+ s at the latest$/

for (const target of ['', 'echo']) {
  const name = target === '' ? 'the appliance' : target
  const on = target === '' ? [] : [target]

  t.test(`Q247712, first case, on ${name}: drainstop, query, drainstop, stop`, async (t) => {
    const { balancer } = await setUp(t)
    const command = commands(t, balancer)
    const client = await flow(balancer)
    const first = await command('drainstop', ...on)
    t.match(first, { code: 0, stderr: '' })
    t.match(first.stdout.trim(), LEFT)
    t.match(await standing(command, target), LEFT, 'it says that it drains, not that draining has stopped')
    const again = await command('drainstop', ...on)
    t.equal(again.code, 0)
    t.match(again.stdout, `${name}: already draining, 1 flow left`)
    client.send('still')
    t.equal((await client.readBytes(5)).toString(), 'still', 'the flow goes on meanwhile')
    const stopped = await command('stop', ...on)
    t.match(stopped, { code: 0, stdout: `${name}: stopped, drain cut short, 1 flow cut\n` })
    t.equal(await client.untilClosed(), 'reset')
    t.equal(await standing(command, target), `${name}: stopped`)
    t.equal((await command('stop', ...on)).stdout, `${name}: already stopped\n`)
  })

  t.test(`Q247712, second case, on ${name}: suspend, stop, drainstop`, async (t) => {
    const { balancer } = await setUp(t)
    const command = commands(t, balancer)
    const client = await flow(balancer)
    const suspended = await command('suspend', ...on)
    t.match(suspended, { code: 0, stdout: `${name}: stopped, 1 flow cut; control is suspended\n` })
    t.equal(await client.untilClosed(), 'reset')
    t.equal(await standing(command, target), `${name}: stopped; control is suspended`)
    for (const verb of ['stop', 'drainstop', 'start']) {
      const { code, stdout, stderr } = await command(verb, ...on)
      t.strictSame([code, stdout], [5, ''], verb)
      t.equal(stderr, `evenkeel: ${name}: refused: control is suspended\n`)
      t.equal(await standing(command, target), `${name}: stopped; control is suspended`, `nothing happened by ${verb}`)
    }
    t.match(await command('resume', ...on), {
      code: 0,
      stdout: `${name}: control is active; operations stay stopped until start\n`,
    })
    t.equal(await standing(command, target), `${name}: stopped`)
    await t.rejects(connect(balancer.port('echo')), { code: 'ECONNREFUSED' })
    t.match(await command('start', ...on), { code: 0, stdout: `${name}: started\n` })
    t.equal(await standing(command, target), `${name}: started`)
    ;(await flow(balancer)).destroy()
  })
}

t.test('what is suspended above is refused below', async (t) => {
  const { balancer } = await setUp(t)
  const command = commands(t, balancer)
  await command('suspend', 'web')
  for (const args of [
    ['stop', 'web/a'],
    ['suspend', 'web/a'],
    ['weight', 'web/a', '5'],
  ]) {
    const { code, stderr } = await command(...args)
    t.equal(code, 5, args.join(' '))
    t.equal(stderr, 'evenkeel: web/a: refused: control of service web is suspended\n')
  }
  await command('suspend')
  const { code, stderr } = await command('resume', 'web')
  t.strictSame([code, stderr], [5, 'evenkeel: web: refused: control of the appliance is suspended\n'])
})

t.test('--reason, who and when are kept, shown and logged; --json prints what the API answers', async (t) => {
  const { balancer } = await setUp(t)
  const command = commands(t, balancer)
  const { code, stdout } = await command('stop', 'web/a', '--reason', 'new disk', '--json')
  t.equal(code, 0)
  const answer = JSON.parse(stdout) as VerbAnswer
  t.match(answer, {
    ...{ operations: 'stopped', control: 'active', changed: true, cut: 0, unsaved: null, deadline: null },
    last: { verb: 'stop', reason: 'new disk', by: /^\S+@\S+ \(127\.0\.0\.1\)$/ },
  })
  t.match((await command('query', 'web/a')).stdout, /^changed +stop by .*: new disk$/m)
  t.match(
    balancer.stderr(),
    /"reason":"new disk","msg":"web\/a: stop by \S+@\S+ \(127\.0\.0\.1\): stopped, 0 flows cut \(new disk\)"/,
  )
})

t.test('a weight changes what a backend gets', async (t) => {
  const { balancer } = await setUp(t)
  const command = commands(t, balancer)
  t.match(await command('weight', 'web/a', '0'), { code: 0, stdout: 'web/a: the weight is 0, it was 3\n' })
  for (let i = 0; i < 4; i++) t.match(await (await fetch(`http://127.0.0.1:${balancer.port('web')}/`)).text(), /^b\b/)
  t.match(await command('weight', 'web/a', '0'), { code: 0, stdout: 'web/a: the weight is 0 already\n' })
  for (const args of [['web', '5'], ['web/a', '257'], ['web/a', '-1'], ['web/a', '1.5'], ['web/a']])
    t.equal((await command('weight', ...args)).code, 2, args.join(' '))
})

t.test('wrong usage is exit code 2, an unknown name 1', async (t) => {
  const { balancer } = await setUp(t)
  const command = commands(t, balancer)
  for (const args of [
    ['stop', 'web/'],
    ['stop', 'web', '--wait'],
    ['drainstop', 'web', '--wait=soon'],
    ['drainstop', '--timeout', '5'],
    ['drainstop', '--timeout', 'x', 'web'],
  ])
    t.equal((await command(...args)).code, 2, args.join(' '))
  t.match(await command('stop', 'wab'), { code: 1, stderr: 'evenkeel: there is no service wab (did you mean web?)\n' })
  t.match(await command('stop', 'web/c'), { code: 1, stderr: /service web has no backend c/ })
})

t.test('--wait follows a drain to its end: 0 when the last flow ends, 4 when some are cut', async (t) => {
  const { balancer } = await setUp(t)
  const client = await flow(balancer)
  const waiting = await start(t, ['drainstop', 'echo', '--wait', '--admin', balancer.admin])
  await eventually('the drain', () => waiting.stdout().includes('draining, 1 flow left'))
  client.end()
  await client.untilClosed()
  const done = await within(waiting.ended, 'the end of the drain')
  t.equal(done.code, 0)
  t.match(done.stdout, /\necho: stopped, every flow has ended by itself\n$/)
  const command = commands(t, balancer)
  await command('start', 'echo')
  const left = await flow(balancer)
  const json = await command('drainstop', 'echo', '--timeout', '200ms', '--wait', '--json')
  t.equal(json.code, 4)
  t.match(JSON.parse(json.stdout) as OperationsView, { operations: 'stopped', lastDrain: { by: 'deadline', cut: 1 } })
  t.equal(await left.untilClosed(), 'reset')
  t.match(await command('drainstop', 'echo', '--wait'), { code: 0, stdout: 'echo: already stopped\n' })
})

t.test('--wait=DURATION waits no longer than that, and the drain goes on', async (t) => {
  const { balancer } = await setUp(t)
  const command = commands(t, balancer)
  const client = await flow(balancer)
  const late = await command('drainstop', 'echo', '--wait=300ms')
  t.equal(late.code, 1)
  t.match(late.stdout, /\necho: not waited for any longer: draining, 1 flow left/)
  const waiting = await start(t, ['drainstop', '--admin', balancer.admin, '--wait', 'echo'])
  await eventually('the second to wait', () => waiting.stdout().includes('already draining'))
  t.match((await command('start', 'echo')).stdout, 'echo: started again, drain cancelled\n')
  t.match(await within(waiting.ended, 'the end'), { code: 1, stdout: /\necho: started again, drain cancelled\n$/ })
  client.send('still')
  t.equal((await client.readBytes(5)).toString(), 'still')
  client.destroy()
})

t.test('on a terminal --wait shows a bar, the oldest flow and the deadline', async (t) => {
  const { balancer } = await setUp(t)
  const client = await flow(balancer)
  const { child, stdout } = await startOnTerminal(t, ['drainstop', 'echo', '--wait', '--admin', balancer.admin])
  await eventually('the bar with the age', () =>
    /\[\.{20}\] 1 of 1 flows left, the oldest \d+s old, cut in \d+m\d\ds/.test(stdout()),
  )
  client.end()
  await eventually('the end', () => child.exitCode !== null)
  t.equal(child.exitCode, 0)
  t.match(stdout(), 'every flow has ended by itself')
})

t.test('through a unix socket nothing but the right to use it is needed, also with a token configured', async (t) => {
  const balancer = await startBalancer(t, {
    admin: { listen: `unix:${await folder(t)}/admin.sock`, token: 'secret' },
    virtualServices: {},
  })
  t.match(balancer.admin, /^unix:/)
  t.match(await run(t, ['stop', '--admin', balancer.admin, '--reason', 'x']), {
    code: 0,
    stdout: 'the appliance: stopped, 0 flows cut\n',
  })
  t.match(await run(t, ['query', '--json', '--admin', balancer.admin]), { code: 0, stdout: '[]\n' })
  t.match(balancer.stderr(), /stop by \S+@\S+ \(unix\)/)
})

t.test('a change that can not be written is done, and said to be forgotten by a restart', async (t) => {
  const { balancer } = await setUp(t, { appliance: { stateFile: 'blocked/state.json' } })
  await writeFile(`${balancer.dir}/blocked`, 'a file where a folder should be')
  const { code, stdout, stderr } = await run(t, ['stop', 'web/a', '--admin', balancer.admin])
  t.strictSame([code, stdout], [0, 'web/a: stopped, 0 flows cut\n'])
  t.match(stderr, /^evenkeel: it is done, but a restart forgets it: .*blocked\/state\.json can't be written: E\w+\n$/)
})
