/** HTTP.md 16 and 17: what a backend may not say is a 502, and a body that ends early never looks whole. */
import t, { type Test } from 'tap'
import type { Script } from '../support/backend.ts'
import { verdictOf } from '../support/differences.ts'
import { get, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig
let n = 0
const OLD = 'GET # HTTP/1.0\r\n\r\n'

/** What a client gets for this script; the request is a GET unless given with `#` for its target. */
async function answerTo(script: Script, request = get('#')) {
  const target = `/bad/${n++}`
  backend.on(target, script)
  const client = await rig.connect()
  client.send(request.replace('#', target))
  const method = request.slice(0, request.indexOf(' '))
  const response = await client.readResponse({ method, deadline: 3000 }).catch((error: unknown) => String(error))
  const connection = backend.last(target).connection
  return { client, response, connection, target }
}

/** Each answer is replaced by a 502, nothing of it gets through, and the backend connection is closed. */
async function become502(t: Test, answers: readonly string[], request?: string): Promise<void> {
  for (const answer of answers) {
    const title = JSON.stringify(answer.length > 120 ? `${answer.slice(0, 120)}…` : answer)
    const { client, response, connection } = await answerTo((x) => x.write(answer), request)
    if (typeof response === 'string') t.fail(`${title}: ${response}`)
    else {
      t.equal(response.status, 502, title)
      t.notMatch(response.text + response.body.toString('latin1'), /leaked/, 'nothing of it gets through')
    }
    t.ok(await connection.untilClosed(3000).catch(() => undefined), `backend connection closed after ${title}`)
    client.destroy()
  }
}
const body = 'X-Leak: leaked\r\n\r\nhello'

t.test('two framings, or a bad or repeated length, become a 502', async (t) => {
  const lengths = [
    '',
    '+5',
    '-5',
    '0x5',
    '5x',
    '5, 5',
    '5,5',
    '5 5',
    '5.0',
    'five',
    '"5"',
    '5\x0b',
    '9007199254740993',
    '18446744073709551621',
    '9'.repeat(400),
  ]
  await become502(t, [
    ...lengths.map((length) => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n${body}`),
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n${body}`,
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n${body}`,
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\ncontent-length: 5\r\n${body}`,
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n${body}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n${body}`,
  ])
})

t.test('any transfer coding but one chunked becomes a 502', async (t) => {
  const codings = [
    'gzip',
    'identity',
    'gzip, chunked',
    'chunked, chunked',
    'chunked, gzip',
    'xchunked',
    '',
    '\x0bchunked',
    'chunked\x0b',
    'chunked;q=1',
  ]
  await become502(t, [
    ...codings.map((coding) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n${body}`),
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n${body}`,
    `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n${body}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n${body}`,
  ])
})

t.test('a bad status line becomes a 502', async (t) => {
  const lines = [
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 abc OK',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.1 +20 OK',
    'HTTP/1.1 -20 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1 000 OK',
    'HTTP/1.1  200 OK',
    ' HTTP/1.1 200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/2 200 OK',
    'HTTP/0.9 200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/1.10 200 OK',
    'http/1.1 200 OK',
    'HTTPS/1.1 200 OK',
    'HTTP/1.1200 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1 OK 200',
    'ICY 200 OK',
    '200 OK',
    'hello',
    '',
    'HTTP/1.1 200 O\x00K',
    'HTTP/1.1 200 O\rK',
    'HTTP/1.1 200 OK\r',
    'HTTP/1.1 200 \x1b[31m',
  ]
  await become502(t, [
    ...lines.map((line) => `${line}\r\nContent-Length: 5\r\n${body}`),
    `HTTP/1.1 200 OK\nContent-Length: 5\nX-Leak: leaked\n\nhello`,
    `HTTP/1.1 200 OK\nContent-Length: 5\r\n${body}`,
    '<html>leaked</html>\r\n\r\n',
    '\0\0\0\x12\x04\0\0\0\0\0\r\n\r\n',
    `HTTP/1.1 200 ${'x'.repeat(100_000)}\r\n${body}`,
    `${'leaked '.repeat(20_000)}`,
  ])
})

t.test('bad fields become a 502', async (t) => {
  const lines = [
    'X : y',
    ' X: y',
    'X: a\r\n b',
    'X: a\r\n\tb',
    ': y',
    'X',
    'X Y: z',
    'X\x80: y',
    'X\x00: y',
    'X: \x00',
    'X: a\x00b',
    'X: a\nb',
    'X: a\rb',
    'X: a\x0bb',
    'X: \x7f',
    'X: y\n',
    'X: y\r',
    '"X": y',
    '\tX: y',
  ]
  await become502(t, [
    ...lines.map((line) => `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${line}\r\n${body}`),
    ...lines.map((line) => `HTTP/1.1 200 OK\r\n${line}\r\nContent-Length: 5\r\n${body}`),
  ])
})

t.test('too many or too long fields become a 502', async (t) => {
  await become502(t, [
    `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(150)}Content-Length: 5\r\n${body}`,
    `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(5000)}Content-Length: 5\r\n${body}`,
    `HTTP/1.1 200 OK\r\n${`X: ${'y'.repeat(4000)}\r\n`.repeat(10)}Content-Length: 5\r\n${body}`,
    `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}`,
  ])
})

t.test('the same holds for an answer to HEAD and to HTTP/1.0', async (t) => {
  const answers = [
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nX : y\r\n\r\n`,
  ]
  await become502(t, answers, 'HEAD # HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await become502(t, answers, OLD)
})

t.test('a connection that ends before a whole head becomes a 502', async (t) => {
  for (const part of [
    '',
    'H',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n',
    'HTTP/1.1 103 X\r\n\r\n',
  ])
    for (const kind of ['end', 'reset'] as const) {
      const { client, response } = await answerTo((x) => {
        x.connection.socket.write(part, 'latin1', () => (kind === 'end' ? x.end() : x.reset()))
      })
      t.equal(typeof response === 'string' ? response : response.status, 502, `${kind} after ${JSON.stringify(part)}`)
      client.destroy()
    }
})

/** The answer starts, and then its sender is gone: what the client got must not look whole. */
const CUT: readonly [title: string, head: string, part: string][] = [
  ['a length, no byte', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', ''],
  ['a length, half', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'hello'],
  ['a length, all but one', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'helloworl'],
  ['a length, large', 'HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n', 'x'.repeat(500_000)],
  ['1.0 and a length', 'HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n', 'hello'],
  ['chunks, none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', ''],
  ['chunks, in a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5'],
  ['chunks, after a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\n'],
  ['chunks, in data', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhel'],
  ['chunks, after data', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello'],
  ['chunks, after a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello\r\n'],
  ['chunks, in the last', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello\r\n0\r\n'],
  ['chunks, in trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello\r\n0\r\nX: y\r\n'],
]

t.test('a body that ends early never looks whole, whoever asks', async (t) => {
  for (const [title, head, part] of CUT)
    for (const kind of ['end', 'reset'] as const)
      for (const [who, request] of [
        ['1.1', get('#')],
        ['1.0', OLD],
      ] as const) {
        const { client, response } = await answerTo((x) => {
          // The reset waits until the bytes are out: it would overtake them.
          x.connection.socket.write(head + part, 'latin1', () => {
            if (kind === 'end') x.end()
            else void rig.barrier().then(() => x.reset())
          })
        }, request)
        const looksWhole = typeof response !== 'string' && response.status === 200
        t.notOk(looksWhole, `${title}, ${kind}, to ${who}`)
        t.ok(await client.untilClosed(3000).catch(() => undefined), 'and the connection is over')
        client.destroy()
      }
})

t.test('a body that lasts until the end of the connection and is reset never looks whole', async (t) => {
  for (const head of [
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.0 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n',
  ])
    for (const [who, request] of [
      ['1.1', get('#')],
      ['1.0', OLD],
    ] as const) {
      const { client, response } = await answerTo(async (x) => {
        x.write(`${head}hello`)
        await rig.barrier()
        await rig.barrier()
        x.reset()
      }, request)
      t.notOk(typeof response !== 'string' && response.status === 200, `${JSON.stringify(head)} to ${who}`)
      client.destroy()
    }
})

t.test('chunks that are none abort the answer', async (t) => {
  const parts = [
    'g\r\n',
    '-1\r\n',
    '+5\r\nhello\r\n0\r\n\r\n',
    '0x5\r\nhello\r\n0\r\n\r\n',
    ' 5\r\nhello\r\n0\r\n\r\n',
    '5\nhello\n0\n\n',
    '5\r\nhelloX\r\n0\r\n\r\n',
    '5\r\nhello0\r\n\r\n',
    '\r\n5\r\nhello\r\n0\r\n\r\n',
    '5;a\nb\r\nhello\r\n0\r\n\r\n',
    'FFFFFFFFFFFFFFFF\r\nhello',
    '00000000000000005\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello\r\n0\n\n',
    '5\r\nhello\r\n0\r\nX : y\r\n\r\n',
    `5;${'x'.repeat(5000)}\r\nhello\r\n0\r\n\r\n`,
  ]
  for (const part of parts) {
    const { client, response, connection } = await answerTo((x) =>
      x.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${part}`),
    )
    const title = JSON.stringify(part.slice(0, 60))
    if (verdictOf(title) !== undefined) {
      const got = typeof response !== 'string' ? 'passed' : /not within/.test(response) ? 'waits' : 'cut'
      t.equal(got, verdictOf(title), `${title}: not as the rule says, but as documented`)
      client.destroy()
      continue
    }
    t.notOk(typeof response !== 'string' && response.status === 200, title)
    t.ok(await connection.untilClosed(3000).catch(() => undefined), 'and the backend connection is closed')
    client.destroy()
  }
})

t.test('a 502 leaves the client connection in step', async (t) => {
  backend.on('/broken', (x) => x.write('broken\r\n\r\n'))
  const client = await rig.connect()
  client.send(get('/broken') + get('/whole'))
  const broken = await client.readResponse()
  t.equal(broken.status, 502)
  if (!valuesOf(broken.fields, 'connection').join().includes('close')) {
    t.equal((await client.readResponse()).status, 200)
  } else t.equal((await client.readUntilClose()).length, 0)
  client.destroy()
  t.equal((await roundTrip(rig.port(), get('/whole'))).status, 200)
})
