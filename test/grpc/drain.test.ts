/** A drain under gRPC: no call is lost, streams go on until the deadline, and calls are spread one by one. `node bench/grpc.ts` is the same with more. */
import t from 'tap'
import { drainUnderCalls } from './fixtures/drain.ts'

t.test('calls and streams over the drain of a backend: only what lasts beyond the deadline is cut', async (t) => {
  const streams = 12
  const result = await drainUnderCalls(t, { calls: 600, streams, timeout: '2s' })
  t.equal(result.lost, 0, 'no call is lost')
  t.equal(result.missing, 0, 'no message of a stream is lost')
  const { leaving = 0, staying = 0 } = result.before
  t.ok(Math.min(leaving, staying) > 0.3 * (leaving + staying), `by call: ${leaving} and ${staying}`)
  t.equal(result.after['leaving'], 0, 'none begins on the backend that drains')
  const { 'leaving OK': finished = 0, 'leaving UNAVAILABLE': cut = 0, 'staying OK': untouched = 0 } = result.streams
  t.equal(finished + cut + untouched, streams, JSON.stringify(result.streams))
  t.ok(finished > 0, 'those that ended in time did so well')
  t.ok(cut > 0, 'those that did not were told')
  t.equal(result.cutByBalancer, cut, 'the balancer counted them')
})
