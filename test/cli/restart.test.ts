/** Which job systemd has for a unit. */
import t from 'tap'
import { isRestarting, jobIn } from '../../lib/cli/restart.ts'

t.test('the job of the unit itself, not of another one', (t) => {
  const listed = '  812 evenkeel.service restart running\n  813 evenkeel-upgrade.service start waiting\n'
  t.equal(jobIn(listed, 'evenkeel.service'), 'restart')
  t.equal(jobIn(listed, 'evenkeel-upgrade.service'), 'start')
  t.equal(jobIn(listed, 'upgrade.service'), undefined)
  t.equal(jobIn('No jobs listed.\n', 'evenkeel.service'), undefined)
  t.equal(jobIn('', 'evenkeel.service'), undefined)
  t.end()
})

t.test('a unit that nobody knows, or no systemd, is not restarting', async (t) => {
  t.equal(await isRestarting('evenkeel-of-nobody.service'), false)
})
