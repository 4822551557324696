/** What a load agent promises, over real sockets: one report, or a failure that says why, and nothing left open. */
import type { Socket } from 'node:net'
import t from 'tap'
import { AgentFailure, createAgent } from '../../lib/agents/index.ts'
import { refusedPort } from '../support/backend.ts'
import { loadOf, says, startAgent } from './fixtures/support.ts'

const signal = (): AbortSignal => AbortSignal.timeout(5000)
const http = (body: string, status = '200 OK'): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const trickle =
  (text: string) =>
  (socket: Socket): void => {
    let at = 0
    const next = (): void => {
      if (at < text.length) socket.write(text[at++] ?? '', () => setImmediate(next))
    }
    socket.setNoDelay()
    next()
  }

type Outcome = Record<string, unknown> | RegExp

const TCP: readonly (readonly [title: string, script: (socket: Socket) => void, outcome: Outcome])[] = [
  ['a line', says('75%\n'), { weight: { percent: 75 } }],
  ['a line with CR LF', says('drain\r\n'), { admin: 'drain' }],
  ['a line with a NUL', says('up\0down\n'), /NUL/],
  ['the first of two lines', says('up\ndown\n'), { health: 'up' }],
  ['a line, and the connection stays open', (socket) => socket.write('down\n'), { health: 'down' }],
  ['a line, byte by byte', trickle('ready 50%\n'), { admin: 'ready', weight: { percent: 50 } }],
  ['an empty line', says('\n'), { weight: null, admin: null, health: null }],
  ['nothing', says(''), /has no end/],
  ['a line without an end', says('75%'), /has no end/],
  ['a line that is too long', says(`up ${'x'.repeat(2000)}\n`), /too long/],
  ['endless bytes', (socket) => socket.write('x'.repeat(1_000_000)), /too long/],
  ['a reset', (socket) => socket.resetAndDestroy(), /failed: ECONNRESET/],
]

const HTTP: typeof TCP = [
  ['a load', says(http('42\n')), { load: 42, health: 'up', admin: 'ready' }],
  ['a load without a line end', says(http('0')), { load: 0 }],
  ['a load with blanks and CR LF', says(http(' 100 \r\nmore\r\n')), { load: 100 }],
  ['101: down', says(http('101\n')), { load: null, health: 'down' }],
  ['102: disabled', says(http('102\n')), { load: null, admin: 'maint' }],
  [
    'a load in front of an endless body',
    (socket) => socket.write(`HTTP/1.1 200 OK\r\n\r\n7\n${'x'.repeat(1e6)}`),
    { load: 7 },
  ],
  ['103', says(http('103\n')), /not a load: "103"/],
  ['a negative number', says(http('-1\n')), /not a load/],
  ['a fraction', says(http('4.5\n')), /not a load/],
  ['a page', says(http('<html><body>50</body></html>')), /not a load: "<html>/],
  ['an empty body', says(http('')), /not a load: ""/],
  ['a long line that begins with a number', says(http(`50${' '.repeat(5000)}x`)), { load: 50 }],
  ['404', says(http('50\n', '404 Not Found')), /HTTP 404/],
  ['302', says(http('50\n', '302 Found')), /HTTP 302/],
  ['something else than HTTP', says('75%\n'), /HTTP\/1\.1 protocol/],
  ['a reset', (socket) => socket.resetAndDestroy(), /reset|closed/],
]

for (const [type, cases] of [
  ['agent', TCP],
  ['http', HTTP],
] as const)
  for (const [title, script, outcome] of cases)
    t.test(`${type}: ${title}`, async (t) => {
      const server = await startAgent(t, (socket) => {
        if (type === 'agent') script(socket)
        else socket.once('data', () => script(socket))
      })
      const asked = createAgent(loadOf({ type, port: server.port })).ask(
        { host: '127.0.0.1', port: server.port },
        signal(),
      )
      if (outcome instanceof RegExp) {
        const failure = await asked.then(
          () => null,
          (error: unknown) => error,
        )
        t.type(failure, AgentFailure)
        t.match(String(failure), outcome)
      } else t.match(await asked, outcome)
      await server.idle()
    })

for (const type of ['agent', 'http']) {
  t.test(`${type}: one that refuses, and one that never answers`, async (t) => {
    const agent = createAgent(loadOf({ type, port: 1 }))
    await t.rejects(
      agent.ask({ host: '127.0.0.1', port: await refusedPort() }, signal()),
      /connect failed: ECONNREFUSED/,
    )
    const silent = await startAgent(t, () => {})
    const controller = new AbortController()
    const asked = agent.ask({ host: '127.0.0.1', port: silent.port }, controller.signal)
    setImmediate(() => controller.abort())
    await t.rejects(asked, /in time|aborted/)
    await silent.idle()
    await t.rejects(agent.ask({ host: '127.0.0.1', port: silent.port }, AbortSignal.abort()), AgentFailure)
  })
}

t.test('agent: `send` is sent as it stands', async (t) => {
  let heard = ''
  const server = await startAgent(t, (socket) =>
    socket.once('data', (bytes: Buffer) => {
      heard = bytes.toString()
      socket.end('33%\n')
    }),
  )
  const agent = createAgent(loadOf({ type: 'agent', port: server.port, send: 'backend b1\n' }))
  t.match(await agent.ask({ host: '127.0.0.1', port: server.port }, signal()), { weight: { percent: 33 } })
  t.equal(heard, 'backend b1\n')
})

t.test('http: path and Host are those of the configuration', async (t) => {
  let heard = ''
  const server = await startAgent(t, (socket) =>
    socket.once('data', (bytes: Buffer) => {
      heard = bytes.toString()
      socket.end(http('1\n'))
    }),
  )
  const agent = createAgent(loadOf({ type: 'http', path: '/load?a=b', host: 'shop.test' }))
  await agent.ask({ host: '127.0.0.1', port: server.port }, signal())
  t.match(heard, /^GET \/load\?a=b HTTP\/1\.1\r\n/)
  t.match(heard, /\r\nhost: shop\.test\r\n/i)
})
