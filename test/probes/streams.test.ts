/** The contract of probes, over each protocol that is spoken over TCP: backends that behave and misbehave. */
import { getEventListeners } from 'node:events'
import t from 'tap'
import { decodeAnswer } from '../../lib/probes/dns-message.ts'
import { playing, STREAMS, type StreamSubject } from './streams.ts'
import { type Behaviour, certificateIn, probeOf, refusingAddress, startBackend, verdictOf } from './support.ts'

const never = new AbortController().signal
const certificate = await certificateIn(t.testdir({}))
const other = await certificateIn(`${t.testdirName}/other`)

/** A DNS answer depends on its question: the question itself, as an answer with one record. */
const dnsOverTcp: Behaviour = (stream) => {
  stream.once('data', (asked: Buffer) => {
    const answer = Buffer.concat([
      asked.subarray(2),
      Buffer.from('c00c00010001000000000004 0a000001'.replace(' ', ''), 'hex'),
    ])
    answer.writeUInt16BE(0x8180, 2)
    answer.writeUInt16BE(1, 6)
    t.not(decodeAnswer(asked.subarray(2), answer, 'A'), null)
    stream.write(Buffer.concat([Buffer.of(0, answer.length), answer]))
  })
}

const wellOf = (subject: StreamSubject): Behaviour => (subject.type === 'dns' ? dnsOverTcp : playing(subject))

/** Acts on a connection when it is the backend's turn to speak. */
const inTurn =
  ({ greeting }: StreamSubject, act: Behaviour): Behaviour =>
  (stream, raw) => {
    // The client has seen that it is connected by the next turn of the event loop.
    if (greeting !== undefined) setImmediate(() => act(stream, raw))
    else stream.once('data', () => act(stream, raw))
    stream.resume()
  }

const saying = (subject: StreamSubject, text: string | Buffer): Behaviour =>
  inTurn(subject, (stream) => stream.write(text))

const trickling = (subject: StreamSubject, abort: () => void): Behaviour =>
  inTurn(subject, (stream) => {
    const words = subject.greeting ?? subject.replies[0] ?? 'xxxxxxxx'
    const text = Buffer.from(words as string)
    let n = 0
    const timer = setInterval(() => {
      // All but the last byte, so that the abort always comes first.
      if (n < text.length - 1) stream.write(text.subarray(n, n + 1))
      if (++n === 4) abort()
    }, 50)
    stream.once('close', () => clearInterval(timer))
  })

for (const subject of STREAMS)
  t.test(`the probe ${subject.title}`, async (t) => {
    const probe = probeOf({ type: subject.type, ...subject.options })
    const scenarios: [title: string, behaviour: (abort: () => void) => Behaviour, verdict: string][] = [
      ['is well', () => wellOf(subject), 'pass'],
      ['accepts and says nothing', (abort) => inTurn(subject, abort), 'timeout'],
      ['trickles a byte every 50 ms', (abort) => trickling(subject, abort), 'timeout'],
      ['resets', () => inTurn(subject, (_stream, raw) => raw.resetAndDestroy()), 'reset'],
      ['closes', () => inTurn(subject, (stream) => stream.end()), 'closed'],
      ['says too much', () => saying(subject, subject.huge), 'protocol'],
      ...subject.ill.map(([title, says, verdict]): [string, () => Behaviour, string] => [
        title,
        () => saying(subject, says),
        verdict,
      ]),
    ]
    for (const [title, behaviour, verdict] of scenarios)
      t.test(`a backend that ${title}: ${verdict}`, async (t) => {
        const controller = new AbortController()
        const backend = await startBackend(
          t,
          behaviour(() => controller.abort()),
        )
        t.equal(await verdictOf(t, probe, backend.address, controller.signal), verdict)
        t.equal(getEventListeners(controller.signal, 'abort').length, 0, 'nothing listens to the signal any more')
        await backend.idle()
        t.equal(backend.accepted(), 1, 'one connection, and it is closed')
      })

    t.test('a backend that refuses: connect', async (t) => {
      t.equal(await verdictOf(t, probe, await refusingAddress(), never), 'connect')
    })

    t.test('an abort before it starts, and while it connects: timeout', async (t) => {
      const backend = await startBackend(t, wellOf(subject))
      t.equal(await verdictOf(t, probe, backend.address, AbortSignal.abort()), 'timeout')
      t.equal(backend.accepted(), 0, 'nothing is connected to')
      const controller = new AbortController()
      const verdict = verdictOf(t, probe, backend.address, controller.signal)
      controller.abort()
      t.equal(await verdict, 'timeout')
      await backend.idle()
    })

    if (subject.tls === undefined) return
    const secure = (tls: object) =>
      probeOf({ type: subject.type, ...subject.options, tls: { mode: 'implicit', ...tls } })

    t.test('over TLS: passes with a certificate that is trusted', async (t) => {
      const backend = await startBackend(t, playing(subject), certificate)
      t.equal(await verdictOf(t, secure({ ca: certificate.ca }), backend.address, never), 'pass')
      await backend.idle()
    })
    for (const [title, options] of [
      ['the certificate is of another authority', { ca: other.ca }],
      ['the certificate is for another name', { ca: certificate.ca, serverName: 'other.example' }],
    ] as const)
      t.test(`over TLS, ${title}: tls`, async (t) => {
        const backend = await startBackend(t, playing(subject), certificate)
        t.equal(await verdictOf(t, secure(options), backend.address, never), 'tls')
        await backend.idle()
      })
    t.test('over TLS, a backend that does not speak it: tls', async (t) => {
      const backend = await startBackend(t, (stream) => stream.once('data', () => stream.end('no\r\n')))
      t.equal(await verdictOf(t, secure({ ca: certificate.ca }), backend.address, never), 'tls')
      await backend.idle()
    })
    t.test('over TLS, a handshake that never ends: timeout', async (t) => {
      const controller = new AbortController()
      const backend = await startBackend(t, (stream) => stream.once('data', () => controller.abort()))
      t.equal(await verdictOf(t, secure({ ca: certificate.ca }), backend.address, controller.signal), 'timeout')
      await backend.idle()
    })
  })

t.test('no secret is in a failure, even when the backend says it', async (t) => {
  for (const subject of STREAMS)
    for (const [, says] of subject.ill) {
      const backend = await startBackend(t, saying(subject, says))
      const probe = probeOf({ type: subject.type, ...subject.options })
      const error = await probe.check(backend.address, never).catch((failure: unknown) => failure)
      t.notMatch(String(error), /hunter2/)
    }
})
