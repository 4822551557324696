/** Answers' heads: what is accepted of a backend, and what of it reaches a client. */
import { forwardResponse } from '../../lib/datapaths/http/forward.ts'
import { Framing } from '../../lib/datapaths/http/framing.ts'
import { DONE, Head, MORE } from '../../lib/datapaths/http/head.ts'
import type { Random } from '../random.ts'
import type { Limits } from '../reference/head.ts'
import { type Hop, image, readResponse } from '../reference/response.ts'
import { Arrival, Broken, holds, pieceOf, same, type Target } from '../target.ts'

const LIMITS: Limits = { maxTarget: 200, maxHead: 2000, maxFields: 12 }
const WIDE: Limits = { maxTarget: 8192, maxHead: 32_768, maxFields: 100 }
const HOPS: readonly Hop[] = [
  { body: 'none', connection: '', upgrade: '', trailers: false },
  { body: 'length', connection: 'keep-alive', upgrade: '', trailers: false },
  { body: 'chunked', connection: '', upgrade: '', trailers: true },
  { body: 'close', connection: 'close', upgrade: '', trailers: false },
  { body: 'none', connection: 'Upgrade', upgrade: 'websocket', trailers: false },
]

interface Outcome {
  readonly state: 'more' | 'bad' | 'ok'
  readonly problem: string
  readonly meaning: string
  readonly head: Head
  readonly framing: Framing
  readonly buf: Buffer
  readonly base: number
}

function parse(input: Buffer, limits: Limits, random: Random, whole: boolean): Outcome {
  const arrival = new Arrival(input, random)
  const { buf, base } = arrival
  const head = new Head()
  const framing = new Framing()
  let result = head.parse(buf, base, arrival.end, limits, true)
  while (result === MORE && arrival.more(whole ? input.length : pieceOf(random)))
    result = head.parse(buf, base, arrival.end, limits, true)
  const ok = result === DONE && framing.read(head, buf, base)
  const fields: number[] = []
  for (let i = 0; ok && i < head.count; i++)
    fields.push(head.id(i), head.nameStart(i), head.nameEnd(i), head.valueStart(i), head.valueEnd(i))
  const { length, chunked, close, keepAlive, upgrade, nominated } = framing
  const told = [head.minor, head.status, head.statusStart, head.reasonStart, head.reasonEnd, head.pos, ...fields]
  const meaning = ok ? JSON.stringify([told, length, chunked, close, keepAlive, upgrade, [...(nominated ?? [])]]) : ''
  const problem = head.problem || framing.problem
  return { state: result === MORE ? 'more' : ok ? 'ok' : 'bad', problem, meaning, head, framing, buf, base }
}

const forward = ({ head, framing, buf, base }: Outcome, hop: Hop): string =>
  forwardResponse(buf, base, head, framing, hop)

const undated = (text: string): string => text.replace(/\r\nDate: [^\r]*GMT\r\n/, '\r\n')

export const response: Target = {
  name: 'response',
  seeds: [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\nSet-Cookie: a=b\r\nset-cookie: c\r\n\r\nhello',
    'HTTP/1.0 404 Not Found\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n\r\n',
    'HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nDate: x\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00',
    'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\nX: y\r\n\r\n',
  ],
  words: [
    ...[
      'Content-Length: 3\r\n',
      'Content_Length',
      'Transfer-Encoding: chunked\r\n',
      'Transfer_Encoding',
      'chunked',
      'gzip',
    ],
    ...[
      'HTTP/1.0 ',
      'HTTP/1.1 ',
      'HTTP/2.0 ',
      'HTTP/0.9',
      '100',
      '099',
      '599',
      '600',
      '1000',
      ' OK',
      '\r\n\r\n',
      '\r\n ',
      '\n\n',
      ': ',
      ' :',
      ',',
    ],
    ...[
      'Connection: ',
      'close',
      'Connection: Content-Length, Set-Cookie, Date, X\r\n',
      'Date: x\r\n',
      'Trailer: a\r\n',
      'Upgrade',
      'TE: x\r\n',
      'X-Forwarded-For',
      'Proxy-Authenticate: x\r\n',
    ],
  ],
  check(input, random) {
    const limits = random.oneIn(3) ? LIMITS : WIDE
    const hop = random.pick(HOPS)
    const whole = parse(input, limits, random, true)
    const cut = parse(input, limits, random, false)
    same('in pieces: verdict', cut.state, whole.state)
    same('in pieces: meaning', cut.meaning, whole.meaning)
    const faults = new Set<number>()
    const wanted = readResponse(input.toString('latin1'), limits, faults)
    const verdict = faults.size > 0 ? 'bad' : wanted === undefined ? 'more' : 'ok'
    same(`verdict (${whole.problem}; reference: ${[...faults]})`, whole.state, verdict)
    if (wanted === undefined) return verdict === 'bad' ? `bad ${whole.problem}` : 'more'
    same('status', whole.head.status, wanted.status)
    same('bytes of the head', whole.head.pos, wanted.length)
    same('length', whole.framing.length, wanted.framing.length)
    same('chunked', whole.framing.chunked, wanted.framing.kind === 'chunked')
    const text = forward(whole, hop)
    const dated = text !== undated(text) && !wanted.fields.some(({ name }) => name.toLowerCase() === 'date')
    same(
      'a date that is added',
      dated,
      wanted.status >= 200 && !wanted.fields.some(({ name }) => name.toLowerCase() === 'date'),
    )
    same('the forwarded head', dated ? undated(text) : text, image(wanted, hop))
    const again = parse(Buffer.from(text, 'latin1'), { ...WIDE, maxFields: 110, maxHead: 40_000 }, random, true)
    if (again.state !== 'ok') throw new Broken(`what we forwarded we refuse: ${again.problem} ${JSON.stringify(text)}`)
    holds(!(again.framing.chunked && again.framing.length >= 0), 'two framings go out')
    same('chunks go out', again.framing.chunked, hop.body === 'chunked')
    const said = hop.body !== 'chunked' && wanted.status >= 200 && wanted.status !== 204 ? wanted.framing.length : -1
    same('a length goes out', again.framing.length, said)
    return `ok ${wanted.framing.kind} ${wanted.minor} ${whole.framing.nominated !== null} ${Math.floor(wanted.status / 100)} ${wanted.rest.length === 3}`
  },
}
