/** Request heads: what is accepted, how it is understood, and what of it reaches a backend. */
import { forwardRequest, needsHost, withHost } from '../../lib/datapaths/http/forward.ts'
import { DONE, MORE } from '../../lib/datapaths/http/head.ts'
import { Hop } from '../../lib/datapaths/http/hop.ts'
import { RequestHead } from '../../lib/datapaths/http/request.ts'
import { knows, readByNode } from '../llhttp.ts'
import { Random } from '../random.ts'
import type { Limits } from '../reference/head.ts'
import { image, isIdentity, type Peer, type Request, type Rules, readRequest } from '../reference/request.ts'
import { Arrival, Broken, holds, pieceOf, same, type Target } from '../target.ts'

const LIMITS: Limits = { maxTarget: 200, maxHead: 2000, maxFields: 12 }
const WIDE: Limits = { maxTarget: 8192, maxHead: 32_768, maxFields: 100 }
const BASE = { allowTrace: false, upgrades: ['websocket'], host: 'preserve', forwarded: false } as const
/** Of what goes out: a little more than what came in, for what we add. */
const OUT: Limits = { maxTarget: 8192, maxHead: 40_000, maxFields: 110 }
const RULES: readonly Rules[] = [
  { ...BASE, via: 'evenkeel', requestId: 'X-Request-Id' },
  { ...BASE, via: 'evenkeel', requestId: 'X-Trace-Id', host: { literal: 'inner.test:81' }, allowTrace: true },
  { ...BASE, via: false, requestId: false, host: 'backend', forwarded: true, upgrades: ['websocket', 'foo'] },
]
const PEERS: readonly Peer[] = [
  { clientAddress: '192.0.2.1', scheme: 'http', port: 80, trusted: false },
  { clientAddress: '192.0.2.1', scheme: 'https', port: 8443, trusted: true },
]
const ID = 'id-1'

const hopOf = (peer: Peer, rules: Rules): Hop =>
  new Hop(peer.clientAddress, peer.scheme, peer.port, peer.trusted, rules)

/** All that the parser says of a head, in one text. */
function meaning(head: RequestHead, buf: Buffer, base: number): string {
  const part = (start: number, end: number): string => buf.latin1Slice(base + start, base + end)
  const { framing } = head
  const fields: string[] = []
  for (let i = 0; i < head.count; i++)
    fields.push(`${part(head.nameStart(i), head.nameEnd(i))}=${part(head.valueStart(i), head.valueEnd(i))}`)
  return JSON.stringify({
    method: head.method,
    target: part(head.targetStart, head.targetEnd),
    minor: head.minor,
    path: part(head.pathStart, head.pathEnd),
    absolute: head.absolute,
    authority: part(head.hostStart, head.hostEnd),
    fields,
    framing: [framing.chunked, framing.length, framing.persistent(head.minor), framing.upgrade, framing.nominated],
    rest: [head.expectContinue, head.te, head.upgrade, head.accept, head.userAgent, head.referer, head.pos],
  })
}

interface Outcome {
  readonly state: 'more' | 'bad' | 'ok'
  readonly status: number
  readonly problem: string
  readonly meaning: string
  readonly head: RequestHead
  readonly buf: Buffer
  readonly base: number
}

/** Parses what comes in pieces, as a connection does. */
function parse(input: Buffer, limits: Limits, rules: Rules, random: Random, whole: boolean): Outcome {
  const arrival = new Arrival(input, random)
  const { buf, base } = arrival
  const head = new RequestHead()
  let result = head.parse(buf, base, arrival.end, limits, false)
  while (result === MORE && arrival.more(whole ? input.length : pieceOf(random)))
    result = head.parse(buf, base, arrival.end, limits, false)
  const ok = result === DONE && head.interpret(buf, base, rules)
  const state = result === MORE ? 'more' : ok ? 'ok' : 'bad'
  const told = ok ? meaning(head, buf, base) : ''
  return { state, status: head.error, problem: head.problem, meaning: told, head, buf, base }
}

function forward({ head, buf, base }: Outcome, rules: Rules, peer: Peer): string {
  const text = forwardRequest(buf, base, head, rules, hopOf(peer, rules), ID)
  return needsHost(head, rules) ? withHost(text, '10.0.0.1', 8080) : text
}

/** What the parser says must be what the reference says. */
function agree(outcome: Outcome, wanted: Request): void {
  const { head, buf, base } = outcome
  const part = (start: number, end: number): string => buf.latin1Slice(base + start, base + end)
  same('method', head.method, wanted.method)
  same('minor version', head.minor, wanted.minor)
  same('authority', part(head.hostStart, head.hostEnd), wanted.authority)
  same('absolute-form', head.absolute, wanted.absolute)
  same('expectation', head.expectContinue, wanted.expects)
  same('upgrade', head.upgrade, wanted.upgrade)
  same('persistence', head.framing.persistent(head.minor), wanted.persistent)
  same('chunked', head.framing.chunked, wanted.framing.kind === 'chunked')
  same('length', head.framing.length, wanted.framing.length)
  same('bytes of the head', head.pos, wanted.length)
  same('number of fields', head.count, wanted.fields.length)
  for (const [i, field] of wanted.fields.entries()) {
    same('name', part(head.nameStart(i), head.nameEnd(i)), field.name)
    same('value', part(head.valueStart(i), head.valueEnd(i)), field.value)
  }
}

/** What goes out is one request to every reader, with the same body, and nothing in it that only we may say. */
function forwards(outcome: Outcome, wanted: Request, rules: Rules, peer: Peer): void {
  const text = forward(outcome, rules, peer)
  const expected = image(wanted, rules, peer, ID)
  same('the forwarded head', text, needsHost(outcome.head, rules) ? withHost(expected, '10.0.0.1', 8080) : expected)
  const faults = new Set<number>()
  const again = readRequest(text, OUT, { ...rules, via: false, allowTrace: true }, faults)
  // The chain of a trusted proxy that is as long as a value may be grows past that by one hop.
  if (again === undefined && peer.trusted && [...faults].join() === '431') return
  if (again === undefined) throw new Broken(`the forwarded head is refused: ${[...faults]} ${JSON.stringify(text)}`)
  same('all of it is the head', again.length, text.length)
  same('body as forwarded', again.framing, wanted.framing)
  if (!peer.trusted) {
    const ours = again.fields.filter(({ name }) => isIdentity(name, rules.requestId))
    const from = 3 + (wanted.authority === '' ? 0 : 1) + (rules.forwarded ? 1 : 0) + (rules.requestId === false ? 0 : 1)
    same('fields that say who the client is', ours.length, from)
  }
  const rest = { ...rules, via: false, host: 'preserve', forwarded: false, requestId: false } as const
  const second = parseText(text, rest)
  const third = parseText(forward(second, rest, PEER), rest)
  same('forwarded twice', forward(third, rest, PEER), forward(second, rest, PEER))
  if (knows(wanted.method) && text.length < MOST_OF_NODE) byNode(text, wanted)
}

const PEER: Peer = { clientAddress: '192.0.2.9', scheme: 'http', port: 80, trusted: false }

function parseText(text: string, rules: Rules): Outcome {
  const outcome = parse(Buffer.from(text, 'latin1'), OUT, { ...rules, allowTrace: true }, STILL, true)
  if (outcome.state !== 'ok')
    throw new Broken(`what we forwarded we refuse: ${outcome.problem} ${JSON.stringify(text)}`)
  return outcome
}

const STILL = new Random(0)
const MOST_OF_NODE = 16_000 // bytes of a head that node's parser takes
const SMALL = 64 // bytes of a body that is built to see where it ends

function byNode(text: string, { framing, upgrade }: Request): void {
  const body =
    framing.kind === 'chunked' ? '3\r\nabc\r\n0\r\n\r\n' : 'x'.repeat(Math.min(SMALL, Math.max(0, framing.length)))
  if (framing.length > SMALL || upgrade !== '') return
  const seen = readByNode(text + body)
  const content = framing.kind === 'chunked' ? 'abc' : body
  same('node reads', seen, { count: 1, body: content, problem: '' })
}

export const request: Target = {
  name: 'request',
  seeds: [
    'GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: x\r\nReferer: y\r\n\r\n',
    '\r\nPOST / HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello',
    'POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nTE: trailers\r\n\r\n0\r\n\r\n',
    'GET http://a.test/x HTTP/1.1\r\nHost: A.test\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nVia: 1.1 x, 1.0 evenkeel (c)\r\n\r\n',
    'GET https://b.test?q HTTP/1.0\r\nX_Forwarded_For: 1\r\nForwarded: for=x\r\nX-Trace-Id: 1\r\nX_Trace_Id: 2\r\nX-Real-IP: 3\r\n\r\n',
    'GET / HTTP/1.1\r\nhost:a.test\r\nX-Request-Id: 1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Else: 2\r\n\r\n',
  ],
  words: [
    ...[
      'Content-Length: 3\r\n',
      'Content-Length',
      'content_length',
      'Transfer-Encoding: chunked\r\n',
      'Transfer_Encoding',
      'chunked',
      'gzip, chunked',
      'identity',
    ],
    ...[
      'Host: b.test\r\n',
      'Host',
      'a.test',
      'u@',
      '[::1]',
      '%41',
      '%',
      'Connection: ',
      'Connection: Host, Content-Length, X-Forwarded-For, X\r\n',
      'close',
      'keep-alive',
      'Upgrade',
      'h2c',
      'websocket',
    ],
    ...[
      'HTTP/1.0',
      'HTTP/1.1',
      'HTTP/2.0',
      'HTTP/0.9',
      'GET ',
      'HEAD ',
      'CONNECT ',
      'TRACE ',
      'OPTIONS ',
      '*',
      'http://',
      'https://',
      '/',
      '?',
      '#',
      '\\',
    ],
    ...[
      'Expect: 100-continue\r\n',
      'TE: trailers\r\n',
      'X-Forwarded-',
      'X_Forwarded_For: 1\r\n',
      'Forwarded',
      'X-Real-IP: 1\r\n',
      'X_Real_IP',
      'X-Trace-Id: 1\r\n',
      'X_Trace_Id',
      'X-Request-Id',
      'Via: 1.1 evenkeel\r\n',
      '1.1 evenkeel',
    ],
    ...[
      '\r\n\r\n',
      '\r\n ',
      '\n\n',
      ': ',
      ' :',
      ',',
      '__proto__',
      'Keep-Alive: 1\r\n',
      'Proxy-Connection: x\r\n',
      'Proxy-Authorization: x\r\n',
      'Trailer: a\r\n',
      'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n',
    ],
  ],
  check(input, random) {
    const limits = random.oneIn(3) ? LIMITS : WIDE
    const rules = random.pick(RULES)
    const peer = random.pick(PEERS)
    const whole = parse(input, limits, rules, random, true)
    const cut = parse(input, limits, rules, random, false)
    same('in pieces: verdict', cut.state, whole.state)
    same('in pieces: status', cut.status, whole.status)
    same('in pieces: meaning', cut.meaning, whole.meaning)
    const faults = new Set<number>()
    const wanted = readRequest(input.toString('latin1'), limits, rules, faults)
    const verdict = faults.size > 0 ? 'bad' : wanted === undefined ? 'more' : 'ok'
    same(`verdict (${whole.problem}; reference: ${[...faults]})`, whole.state, verdict)
    if (verdict === 'bad') {
      holds(faults.has(whole.status), `refused with ${whole.status}, not one of ${[...faults]}`)
      return `${whole.status} ${whole.problem}`
    }
    if (wanted === undefined) return 'more'
    agree(whole, wanted)
    forwards(whole, wanted, rules, peer)
    const { head } = whole
    return `ok ${wanted.framing.kind} ${wanted.minor} ${wanted.absolute} ${wanted.upgrade !== ''} ${head.framing.nominated !== null} ${wanted.expects} ${head.te} ${wanted.authority.charAt(0) === '['}`
  },
}
