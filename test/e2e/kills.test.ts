/** Killed in a storm of changes: what was acknowledged is there after the restart. `npm run kills` does it 200 times. */
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { killInStorms } from './fixtures/kills.ts'

const KILLS = 5

t.test(`killed ${KILLS} times in a storm of changes: each acknowledged one is there after the restart`, async (t) => {
  const { address } = await startTcpBackend(t)
  const { acknowledged, lost } = await killInStorms(t, address, KILLS, () => {})
  t.strictSame(lost, [])
  t.ok(acknowledged >= 20 * KILLS, `${acknowledged} were acknowledged`)
})
