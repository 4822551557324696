/**
 * Kills a balancer while operators change things, again and again, and looks after each restart whether every acknowledged
 * change is there: `npm run kills -- [--kills 200]`.
 */
import { parseArgs } from 'node:util'
import { killInStorms } from '../test/e2e/fixtures/kills.ts'
import { startTcpBackend } from '../test/support/backend.ts'

const { values } = parseArgs({ options: { kills: { type: 'string', default: '200' } } })
const kills = Number(values.kills)
if (!Number.isInteger(kills) || kills < 1) {
  console.error('--kills takes a number from 1 on')
  process.exit(2)
}
const undo: (() => unknown)[] = []
const teardown = (fn: () => unknown): void => {
  undo.push(fn)
}
const begun = performance.now()
try {
  const { address } = await startTcpBackend({ teardown })
  const { acknowledged, lost } = await killInStorms({ teardown }, address, kills, (n) => {
    if (n > 0 && n % 20 === 0) console.log(`${n} kills`)
  })
  for (const line of lost) console.log(line)
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  console.log(`${kills} kills in ${seconds} s: ${acknowledged} changes acknowledged, ${lost.length} lost`)
  process.exitCode = lost.length > 0 ? 1 : 0
} finally {
  for (const fn of undo.reverse()) await fn()
}
