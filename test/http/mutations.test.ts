/** Random damage to requests and answers: whatever comes in, what goes out is well formed and in step. */
import fc from 'fast-check'
import t from 'tap'
import { ENGINE } from '../support/differences.ts'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { MalformedMessage } from '../support/message.ts'
import type { RawClient } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig
const RUNS = ENGINE === 'native' ? 400 : 100 // what the other one reads with is node's, which others have tried

const REQUESTS = [
  get('/m?x=y', 'Accept: */*\r\nCookie: a=b\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\n'),
  get('http://a.test/m', 'TE: trailers\r\n'),
  post('Content-Length: 5\r\n', 'hello', '/m'),
  chunked('5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n', '/m'),
  post('Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello', '/m'),
  get('/m', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
]
const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
  'HTTP/1.1 103 X\r\nLink: x\r\n\r\nHTTP/1.0 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno',
  'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n',
]

// Bytes and words that a parser has reasons to trip over.
const SPICE = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    ' ',
    '\t',
    '\0',
    '\x0b',
    '\x7f',
    '\x80',
    '\xff',
    ':',
    ',',
    ';',
    '"',
    '#',
    '0',
    '1',
  ],
  ...[
    '\r\n ',
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: b.test\r\n',
    'chunked',
    '0x',
    '+',
    '-',
    '/',
  ],
  ...[
    'HTTP/1.0',
    'HTTP/1.1',
    'Connection: close\r\n',
    '0\r\n\r\n',
    'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n',
    '_',
  ],
]

interface Damage {
  readonly at: number
  readonly remove: number
  readonly put: string
}

const damages = fc.array(
  fc.record({ at: fc.nat(1000), remove: fc.constantFrom(0, 0, 1, 1, 2, 5), put: fc.constantFrom('', ...SPICE) }),
  { minLength: 1, maxLength: 3 },
)

const damaged = (text: string, list: readonly Damage[]): string =>
  list.reduce((s, { at, remove, put }) => {
    const i = at % s.length
    return s.slice(0, i) + put + s.slice(i + remove)
  }, text)

/** Reads what is there; only malformed bytes are an error, an answer that is cut short is not. */
async function readAll(client: RawClient): Promise<number> {
  let n = 0
  while (client.pending.length > 0) {
    const had = client.pending.length
    try {
      await client.readResponse({ deadline: 1 })
      n++
    } catch (error) {
      if (error instanceof MalformedMessage && !/^(?:body cut|reset after)/.test(error.message)) throw error
      return n
    }
    if (client.pending.length === had) return n
  }
  return n
}

async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await rig.barrier()
}

t.test('no damage to a request makes the balancer send a backend anything malformed', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...REQUESTS), damages, fc.nat(1000), async (request, list, cut) => {
      const bytes = damaged(request, list)
      const seen = backend.requests.length
      const client = await rig.connect()
      await client.sendSplit(bytes, [cut % bytes.length || bytes.length, bytes.length], rig.barrier)
      await settled()
      const answers = await readAll(client)
      const reached = backend.requests.length - seen
      client.reset()
      if (backend.faults.length > 0) throw new Error(`${backend.faults.splice(0)} for ${JSON.stringify(bytes)}`)
      // More requests at the backend than whole requests in the bytes would be smuggling; each needs its own line.
      const lines = bytes.match(/ HTTP\/1\.[01]\r\n/g)?.length ?? 0
      if (reached > lines) throw new Error(`${reached} requests of ${lines} lines from ${JSON.stringify(bytes)}`)
      if (answers > lines + 1) throw new Error(`${answers} answers to ${JSON.stringify(bytes)}`)
    }),
    { numRuns: RUNS },
  )
  t.strictSame(backend.faults, [])
  t.notMatch(rig.balancer.stderr(), /died/, 'and no thread of it died')
})

t.test('no damage to an answer makes the balancer send a client anything malformed, or cross answers', async (t) => {
  let n = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ANSWERS),
      damages,
      fc.nat(1000),
      fc.boolean(),
      async (answer, list, cut, ends) => {
        const bytes = damaged(answer, list)
        const target = `/damaged/${n++}`
        backend.on(target, async (x) => {
          const at = cut % bytes.length
          x.write(bytes.slice(0, at))
          await rig.barrier()
          x.write(bytes.slice(at))
          if (ends) x.end()
        })
        const client = await rig.connect()
        client.send(get(target))
        await settled()
        await readAll(client)
        client.reset()
        const other = await rig.connect()
        other.send(get('/sound'))
        const response = await other.readResponse()
        other.destroy()
        if (!/^backend \d+$/.test(response.body.toString()))
          throw new Error(`the next client got ${response.body} after ${JSON.stringify(bytes)}`)
      },
    ),
    { numRuns: RUNS },
  )
  t.strictSame(backend.faults, [])
  t.notMatch(rig.balancer.stderr(), /died/, 'and no thread of it died')
})
