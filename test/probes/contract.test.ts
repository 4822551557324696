/** The contract of probes, run over every probe against backends that behave and misbehave. */
import { getEventListeners } from 'node:events'
import t from 'tap'
import type { Probe } from '../../lib/probes/index.ts'
import type { DevelopmentCertificate } from '../../lib/tls/index.ts'
import {
  answering,
  type Behaviour,
  certificateIn,
  onRequest,
  probeOf,
  refusingAddress,
  startBackend,
  type Verdict,
  verdictOf,
} from './support.ts'

type Type = 'tcp' | 'http' | 'https'

interface Scenario {
  readonly title: string
  /** What the backend does; `act` lets the test abort the probe at the right moment. */
  readonly behaviour: (abort: () => void) => Behaviour
  readonly verdicts: Record<Type, Verdict>
}

/** Byte after byte, slower than any probe waits; the abort comes once a few are out. */
const trickle =
  (text: string, abort: () => void): Behaviour =>
  (stream) => {
    let n = 0
    const timer = setInterval(() => {
      stream.write(text.slice(n, n + 1))
      if (++n === 4) abort()
    }, 50)
    stream.once('close', () => clearInterval(timer))
    stream.resume()
  }

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n'

const scenarios: readonly Scenario[] = [
  {
    title: 'answers 200',
    behaviour: () => answering(`${HEAD}\r\nok`),
    verdicts: { tcp: 'pass', http: 'pass', https: 'pass' },
  },
  {
    title: 'answers a 103 first',
    behaviour: () => answering(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${HEAD}\r\nok`),
    verdicts: { tcp: 'pass', http: 'pass', https: 'pass' },
  },
  {
    title: 'accepts and says nothing',
    behaviour: (abort) => onRequest(abort),
    verdicts: { tcp: 'pass', http: 'timeout', https: 'timeout' },
  },
  {
    title: 'trickles a byte every 50 ms',
    behaviour: (abort) => trickle(`${HEAD}\r\nok`, abort),
    verdicts: { tcp: 'pass', http: 'timeout', https: 'timeout' },
  },
  {
    title: 'resets instead of answering',
    behaviour: () => onRequest((_stream, raw) => raw.resetAndDestroy()),
    verdicts: { tcp: 'pass', http: 'reset', https: 'reset' },
  },
  {
    title: 'closes at once',
    behaviour: () => (_stream, raw) => raw.destroy(),
    verdicts: { tcp: 'pass', http: 'closed', https: 'tls' },
  },
  {
    title: 'closes instead of answering',
    behaviour: () => onRequest((stream) => stream.end()),
    verdicts: { tcp: 'pass', http: 'closed', https: 'closed' },
  },
  {
    title: 'closes within the head',
    behaviour: () => answering('HTTP/1.1 200 OK\r\nContent-'),
    verdicts: { tcp: 'pass', http: 'closed', https: 'closed' },
  },
  {
    title: 'speaks another protocol',
    behaviour: () => answering('SSH-2.0-OpenSSH_9.9\r\n'),
    verdicts: { tcp: 'pass', http: 'protocol', https: 'protocol' },
  },
  {
    title: 'answers with both framings',
    behaviour: () => answering(`${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    verdicts: { tcp: 'pass', http: 'protocol', https: 'protocol' },
  },
  {
    title: 'switches protocols unasked',
    behaviour: () => answering('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', 'stay'),
    verdicts: { tcp: 'pass', http: 'protocol', https: 'protocol' },
  },
  {
    title: 'sends a huge head',
    behaviour: () => answering(`${HEAD}X-Long: ${'x'.repeat(64 * 1024)}\r\n\r\nok`),
    verdicts: { tcp: 'pass', http: 'protocol', https: 'protocol' },
  },
  {
    title: 'sends a head without end',
    behaviour: () =>
      onRequest((stream) => {
        stream.write(HEAD)
        const line = `X-Many: ${'x'.repeat(1000)}\r\n`
        const more = (): void => {
          while (!stream.destroyed && stream.write(line)) {}
        }
        stream.on('drain', more)
        more()
      }),
    verdicts: { tcp: 'pass', http: 'protocol', https: 'protocol' },
  },
  {
    title: 'answers 503',
    behaviour: () => answering('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'),
    verdicts: { tcp: 'pass', http: 'status', https: 'status' },
  },
]

const probeFor = (type: Type, certificate: DevelopmentCertificate): Probe =>
  probeOf(type === 'https' ? { type, tls: { ca: certificate.ca } } : { type })

const certificate = await certificateIn(t.testdir({}))

for (const type of ['tcp', 'http', 'https'] as const) {
  t.test(`the ${type} probe`, async (t) => {
    const probe = probeFor(type, certificate)

    for (const { title, behaviour, verdicts } of scenarios) {
      const verdict = verdicts[type]
      t.test(`a backend that ${title}: ${verdict}`, async (t) => {
        const controller = new AbortController()
        const backend = await startBackend(
          t,
          behaviour(() => controller.abort()),
          type === 'https' ? certificate : undefined,
        )
        t.equal(await verdictOf(t, probe, backend.address, controller.signal), verdict)
        await backend.idle()
        t.equal(backend.accepted(), 1, 'one connection, and it is closed')
      })
    }

    t.test('a backend that refuses: connect', async (t) => {
      t.equal(await verdictOf(t, probe, await refusingAddress(), new AbortController().signal), 'connect')
    })

    t.test('an abort while it connects: timeout, and the connection is gone', async (t) => {
      const backend = await startBackend(t, (stream) => stream.resume())
      const controller = new AbortController()
      const verdict = verdictOf(t, probe, backend.address, controller.signal)
      controller.abort()
      t.equal(await verdict, 'timeout')
      await backend.idle()
    })

    t.test('an abort before it starts: timeout, and nothing is connected to', async (t) => {
      const backend = await startBackend(t, (stream) => stream.resume())
      t.equal(await verdictOf(t, probe, backend.address, AbortSignal.abort()), 'timeout')
      t.equal(backend.accepted(), 0)
    })

    t.test('each check makes a connection of its own', async (t) => {
      const backend = await startBackend(
        t,
        answering(`${HEAD}\r\nok`, 'stay'),
        type === 'https' ? certificate : undefined,
      )
      for (let n = 1; n <= 3; n++) {
        t.equal(await verdictOf(t, probe, backend.address, new AbortController().signal), 'pass')
        await backend.idle()
        t.equal(backend.accepted(), n)
      }
    })
  })
}

t.test('the https probe on a handshake that never ends: timeout', async (t) => {
  const controller = new AbortController()
  const backend = await startBackend(t, (stream) => stream.once('data', () => controller.abort()))
  t.equal(await verdictOf(t, probeFor('https', certificate), backend.address, controller.signal), 'timeout')
  await backend.idle()
})

t.test('no probe leaves a listener on a signal that outlives it', async (t) => {
  const backend = await startBackend(t, answering(`${HEAD}\r\nok`))
  const { signal } = new AbortController()
  for (const type of ['tcp', 'http'] as const) await probeFor(type, certificate).check(backend.address, signal)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})
