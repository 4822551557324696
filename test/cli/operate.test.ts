/** Operators' verbs on the command line, against a running balancer. */
import { rm, writeFile } from 'node:fs/promises'
import t from 'tap'
import type { VerbAnswer } from '../../lib/admin/index.ts'
import { setUp } from '../admin/support.ts'
import { startBalancer } from '../support/balancer.ts'
import { commands } from './fixtures/operator.ts'
import { folder, run } from './support.ts'

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
  // the start has kept its configuration there
  await rm(`${balancer.dir}/blocked`, { recursive: true, force: true })
  await writeFile(`${balancer.dir}/blocked`, 'a file where a folder should be')
  const { code, stdout, stderr } = await run(t, ['stop', 'web/a', '--admin', balancer.admin])
  t.strictSame([code, stdout], [0, 'web/a: stopped, 0 flows cut\n'])
  t.match(stderr, /^evenkeel: it is done, but a restart forgets it: .*blocked\/state\.json can't be written: E\w+\n$/)
})
