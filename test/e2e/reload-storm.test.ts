/** No request is lost, and no long-lived connection ended, by reloads that change the service that serves them. */
import t from 'tap'
import { ENGINE } from '../support/differences.ts'
import { bystanders, storm } from './fixtures/reload-storm.ts'

t.test('6,000 requests over 10 reloads, 100 WebSockets and 100 TCP streams: no error, no wrong body', async (t) => {
  const many = { requests: 6000, reloads: 10, webSockets: 100, streams: 100, clients: 20, engine: ENGINE }
  const { answered, errors, took } = await storm(t, many)
  t.strictSame(errors.slice(0, 20), [])
  t.equal(answered, 6000)
  t.comment(`reloads took ${took.join(', ')} ms`)
})

t.test('WebSockets live on while other services come, change and go', async (t) => {
  t.strictSame(await bystanders(t, { webSockets: 50, reloads: 30 }), [])
})
