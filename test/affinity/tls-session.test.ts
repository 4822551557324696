/** TLS sessions, learnt from real handshakes that go by. */
import fc from 'fast-check'
import t from 'tap'
import { SessionWatch, sessionIn } from '../../lib/affinity/tls-session.ts'
import { startTap } from './fixtures/handshakes.ts'

for (const tickets of [true, false])
  for (const size of [1, 7, 65_536])
    t.test(
      `TLS 1.2, ${tickets ? 'tickets' : 'ids'}, pieces of ${size}: what is given is what is asked for`,
      async (t) => {
        const shake = await startTap(t, { maxVersion: 'TLSv1.2', tickets, size })
        const first = await shake()
        t.equal(first.resumed, false)
        t.ok(first.learnt.length > 0, 'the backend gave a session')
        const second = await shake(first.session)
        t.equal(second.resumed, true)
        t.ok(first.learnt.includes(second.asked), 'and the client asks for it')
        t.equal(second.asked[0], tickets ? 't' : 's')
      },
    )

t.test('TLS 1.3 gives nothing in the clear: nothing is learnt of it', async (t) => {
  const shake = await startTap(t, { maxVersion: 'TLSv1.3', tickets: true, size: 65_536 })
  const first = await shake()
  t.same(first.learnt, [])
  t.same((await shake(first.session)).learnt, [])
})

t.test('what is no ClientHello is known at once, and nothing that a stranger sends breaks the reader', (t) => {
  for (const text of ['GET / HTTP/1.1\r\n', '\x03\x00', '\x16\x02', '\x17\x03\x03', 'SSH-2.0-x'])
    t.equal(sessionIn(Buffer.from(text, 'latin1')), '', JSON.stringify(text))
  t.equal(sessionIn(Buffer.alloc(0)), null)
  t.equal(sessionIn(Buffer.from([22, 3, 1])), null)
  t.equal(sessionIn(Buffer.from([22, 3, 1, 0, 0])), '', 'an empty record')
  t.equal(sessionIn(Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff])), '', 'a message of 16 MiB')
  const record = (body: Uint8Array): Buffer => {
    const head = Buffer.from([22, 3, 1, 0, 0, 1, 0, 0, 0])
    head.writeUInt16BE(body.length + 4, 3)
    head.writeUInt16BE(body.length, 7)
    return Buffer.concat([head, body])
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, framed) => {
      const input = framed && bytes.length > 0 ? record(bytes) : Buffer.from(bytes)
      const key = sessionIn(input)
      new SessionWatch('', () => undefined).push(input, input.length)
      return key === null || key === '' || /^[st]/.test(key)
    }),
  )
  t.end()
})
