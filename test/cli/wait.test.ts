/** `drainstop --wait`: follows a drain to its end, on a terminal and without. */
import t from 'tap'
import type { OperationsView } from '../../lib/admin/index.ts'
import { setUp } from '../admin/support.ts'
import { eventually, within } from '../support/eventually.ts'
import { commands, flow } from './fixtures/operator.ts'
import { start, startOnTerminal } from './support.ts'

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
