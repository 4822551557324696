/** gRPC over the drain of a backend: `node bench/grpc.ts [--calls 10000] [--streams 100] [--timeout 5s]`. */
import { parseArgs } from 'node:util'
import { drainUnderCalls } from '../test/grpc/fixtures/drain.ts'

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '10000' },
    streams: { type: 'string', default: '100' },
    timeout: { type: 'string', default: '5s' },
  },
})
const undo: (() => unknown)[] = []
try {
  const { calls, streams, timeout } = values
  const result = await drainUnderCalls(
    { teardown: (fn) => undo.push(fn) },
    { calls: Number(calls), streams: Number(streams), timeout },
  )
  const { lost, before, after, missing, cutByBalancer, ms } = result
  const spread = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  console.log(`${calls} unary calls in ${(ms / 1000).toFixed(1)} s: ${lost} lost`)
  console.log(`before the drain: ${spread(before)}; from then on: ${spread(after)}`)
  console.log(`${streams} streams: ${spread(result.streams)}; messages missing: ${missing}; cut: ${cutByBalancer}`)
  process.exitCode = lost > 0 || missing > 0 ? 1 : 0
} finally {
  for (const fn of undo.reverse()) await fn()
}
process.exit()
