/**
 * Reloads under load: every request is accounted for, every long-lived connection must live:
 * `npm run reloads -- [--requests 60000] [--reloads 60] [--engine native]`, and then WebSockets of one service over reloads of
 * others: `[--others 1000]`, 0: none.
 */
import { parseArgs } from 'node:util'
import { bystanders, storm } from '../test/e2e/fixtures/reload-storm.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '60000' },
    reloads: { type: 'string', default: '60' },
    others: { type: 'string', default: '1000' },
    engine: { type: 'string', default: 'native' },
  },
})
const [requests, reloads, others] = [values.requests, values.reloads, values.others].map(Number) as [
  number,
  number,
  number,
]
if (![requests, reloads, others].every((n) => Number.isInteger(n) && n >= 0)) {
  console.error('--requests, --reloads and --others take numbers')
  process.exit(2)
}
const undo: (() => unknown)[] = []
const teardown = (fn: () => unknown): void => {
  undo.push(fn)
}
const end = async (): Promise<void> => {
  for (const fn of undo.splice(0).reverse()) await fn()
}
const seconds = (from: number): string => ((performance.now() - from) / 1000).toFixed(0)

try {
  let begun = performance.now()
  const { engine } = values
  const many = { requests, reloads, webSockets: 100, streams: 100, clients: 20, engine }
  const { answered, errors, took } = await storm({ teardown }, many)
  for (const line of errors.slice(0, 50)) console.log(line)
  const sorted = took.toSorted((a, b) => a - b)
  const times = `a reload took ${sorted[Math.floor(sorted.length / 2)] ?? 0} ms in the median, ${sorted.at(-1) ?? 0} at most`
  console.log(
    `${engine}: ${answered} requests over ${reloads} reloads in ${seconds(begun)} s, 100 WebSockets, 100 TCP streams: ${errors.length} errors; ${times}`,
  )
  await end()
  if (others > 0) {
    begun = performance.now()
    const dead = await bystanders({ teardown }, { webSockets: 500, reloads: others })
    for (const line of dead.slice(0, 50)) console.log(line)
    console.log(
      `500 WebSockets over ${others} reloads of other services in ${seconds(begun)} s: ${dead.length} problems`,
    )
    if (dead.length > 0) process.exitCode = 1
  }
  if (errors.length > 0) process.exitCode = 1
} finally {
  await end()
}
