/** Reads a request as the exchange writes it for HTTP/1.1, and encodes it for HTTP/2. */
import { encodedAtMost, type HpackEncoder } from '../h2/hpack-encoder.ts'
import { NAME_ENTRY } from '../h2/static-table.ts'
import { HOP_BY_HOP, ID, isTwin } from '../http/fields.ts'
import { Head, type HeadLimits } from '../http/head.ts'

/** The exchange has looked at the client's head by the service's limits; what it added must fit too. */
const LIMITS: HeadLimits = { maxTarget: 256 * 1024, maxHead: 1024 * 1024, maxFields: 2000 }

const entry = (name: string): number => NAME_ENTRY.get(name) as number
const METHOD = entry(':method')
const METHOD_GET = METHOD
const METHOD_POST = METHOD + 1
const PATH = entry(':path')
const PATH_ROOT = PATH
const SCHEME_HTTP = entry(':scheme')
const SCHEME_HTTPS = SCHEME_HTTP + 1
const AUTHORITY = entry(':authority')
const CONNECT = Buffer.from('CONNECT')
const TE = Buffer.from('tetrailers')
const ADDED_FIELDS = 6 // pseudo-fields, and the scheme's static entry costs no more than a field
const LONGEST = 64 // bytes of what is added

/** The head in hand: it is encoded before another is read. */
export const requestHead = new Head()
const head = requestHead

/** Reads the head at `base`, whole; false: it is none. */
export function readRequest(buf: Buffer, base: number, end: number): boolean {
  head.reset()
  return head.parse(buf, base, end, LIMITS, false) === 1
}

/** Bytes that the block of the head in hand takes at most. */
export const requestAtMost = (): number => encodedAtMost(head.pos + LONGEST, head.count + ADDED_FIELDS)

/** Does the head in hand ask for no content? */
export function asksForHead(buf: Buffer, base: number): boolean {
  const { methodStart, methodEnd } = head
  return methodEnd - methodStart === 4 && buf.latin1Slice(base + methodStart, base + methodEnd) === 'HEAD'
}

/** Encodes the head in hand; `upgrade`: the protocol of the tunnel that it asks for (RFC 8441 §4), or ''. */
export function encodeRequest(
  encoder: HpackEncoder,
  buf: Buffer,
  base: number,
  secure: boolean,
  upgrade: string,
): void {
  const method = base + head.methodStart
  const methodEnd = base + head.methodEnd
  if (upgrade !== '') encoder.named(METHOD, CONNECT, 0, CONNECT.length)
  else if (methodEnd - method === 3 && buf[method] === 71 && buf[method + 1] === 69) encoder.indexed(METHOD_GET)
  else if (methodEnd - method === 4 && buf[method] === 80 && buf[method + 1] === 79) encoder.indexed(METHOD_POST)
  else encoder.named(METHOD, buf, method, methodEnd)
  encoder.indexed(secure ? SCHEME_HTTPS : SCHEME_HTTP)
  const path = base + head.targetStart
  const pathEnd = base + head.targetEnd
  if (pathEnd - path === 1 && buf[path] === 47) encoder.indexed(PATH_ROOT)
  else encoder.named(PATH, buf, path, pathEnd)
  if (upgrade !== '') {
    const row = Buffer.from(`:protocol${upgrade}`, 'latin1')
    encoder.field(row, 0, 9, 9, row.length)
  }
  const host = fieldOf(buf, base, ID.host)
  if (host >= 0) encoder.named(AUTHORITY, buf, base + head.valueStart(host), base + head.valueEnd(host))
  for (let i = 0; i < head.count; i++) {
    const id = head.id(i)
    const start = base + head.nameStart(i)
    const end = base + head.nameEnd(i)
    if (i === host) continue
    if (id === ID.te)
      encoder.field(TE, 0, 2, 2, TE.length) // the exchange passes on nothing else
    else if (HOP_BY_HOP[id] === 1 && id !== ID.trailer && id !== ID['content-length']) continue
    else if (upgrade !== '' && end - start === 17 && isKey(buf, start, end)) continue
    else encoder.field(buf, start, end, base + head.valueStart(i), base + head.valueEnd(i))
  }
}

const isKey = (buf: Buffer, start: number, end: number): boolean =>
  buf.latin1Slice(start, end).toLowerCase() === 'sec-websocket-key'

/** The field of the head in hand with this id; -1: there is none. */
function fieldOf(buf: Buffer, base: number, id: number): number {
  for (let i = 0; i < head.count; i++)
    if (head.id(i) === id && !isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i))) return i
  return -1
}

/** The value of the first field of the head in hand that has this name, or ''. */
export function requestField(buf: Buffer, base: number, name: 'upgrade' | 'sec-websocket-key'): string {
  for (let i = 0; i < head.count; i++) {
    if (name === 'upgrade' ? head.id(i) !== ID.upgrade : head.nameEnd(i) - head.nameStart(i) !== name.length) continue
    if (buf.latin1Slice(base + head.nameStart(i), base + head.nameEnd(i)).toLowerCase() === name)
      return buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i))
  }
  return ''
}
