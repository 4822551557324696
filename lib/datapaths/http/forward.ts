/** Writes the heads that go on: to the backend, and back to the client. HTTP.md lines 9–11, 13. */
import { isIPv6 } from 'node:net'
import { formatAddress } from '../../core/index.ts'
import { type Outbox, outbox } from '../outbox.ts'
import { equals, forEachElement } from './bytes.ts'
import { CERTIFICATE_PREFIX } from './field-names.ts'
import { HOP_BY_HOP, ID, IDENTITY, isTwin, namesField, OTHER, PROTECTED, UNTOUCHED } from './fields.ts'
import type { Framing } from './framing.ts'
import type { Head } from './head.ts'
import type { Hop } from './hop.ts'
import type { RequestHead } from './request.ts'

export interface ForwardRules {
  readonly host: 'preserve' | 'backend' | { readonly literal: string }
  readonly via: string | false
  readonly requestId: string | false
  readonly forwarded: boolean
}

const text = (buf: Buffer, base: number, head: Head, field: number): string =>
  buf.latin1Slice(base + head.valueStart(field), base + head.valueEnd(field))

/** Is the field named by Connection, and may it be? */
function nominated(framing: Framing, head: Head, field: number, buf: Buffer, base: number): boolean {
  const { nominated } = framing
  if (nominated === null || PROTECTED[head.id(field)] === 1) return false
  return nominated.has(buf.latin1Slice(base + head.nameStart(field), base + head.nameEnd(field)).toLowerCase())
}

/** Which fields of the head in hand are left out. One array for all: nothing is kept between two heads. */
const dropped = new Uint8Array(1001) // most that http.maxFields allows

/** Copies the field lines but the dropped ones, in as few slices as possible: byte for byte, in their order. */
function copyKept(out: Outbox, buf: Buffer, base: number, head: Head): void {
  let from = head.fieldsStart
  for (let i = 0; i < head.count; i++) {
    if (dropped[i] === 0) continue
    const start = head.nameStart(i)
    if (start > from) out.copy(buf, base + from, base + start)
    from = i + 1 < head.count ? head.nameStart(i + 1) : head.fieldsEnd
  }
  if (head.fieldsEnd > from) out.copy(buf, base + from, base + head.fieldsEnd)
}

/** Is it another's field by its letters, and only by them? No proxy writes such: it came from a client that the proxy served. */
const imitates = (buf: Buffer, base: number, head: Head, field: number): boolean =>
  isTwin(buf, base + head.nameStart(field), base + head.nameEnd(field))

/** We know the peer's certificate, and say so ourselves, whoever the peer is. */
function isOurs(hop: Hop, buf: Buffer, base: number, head: Head, field: number): boolean {
  const start = base + head.nameStart(field)
  return hop.certificate !== '' && namesField(buf, start, start + CERTIFICATE_PREFIX.length, CERTIFICATE_PREFIX)
}

/** The value of the first field with this id, or ''. */
function first(buf: Buffer, base: number, head: Head, id: number): string {
  for (let i = 0; i < head.count; i++)
    if (head.id(i) === id && !imitates(buf, base, head, i)) return text(buf, base, head, i)
  return ''
}

/** All values of a field, as one list. */
function joined(buf: Buffer, base: number, head: Head, id: number): string {
  const values: string[] = []
  for (let i = 0; i < head.count; i++)
    if (head.id(i) === id && !imitates(buf, base, head, i)) values.push(text(buf, base, head, i))
  return values.join(', ')
}

/** What the backend gets of a request's head: all of it, but for the Host line where that depends on the backend (`needsHost`). */
export function forwardRequest(
  buf: Buffer,
  base: number,
  head: RequestHead,
  rules: ForwardRules,
  hop: Hop,
  id: string,
): string {
  const { framing } = head
  const authority = hop.authority(buf, base + head.hostStart, base + head.hostEnd)
  const hostInPlace = rules.host === 'preserve' && !head.absolute
  // The default name has a number of its own; only another one must be looked for by its letters.
  const idName = rules.requestId === false || rules.requestId === DEFAULT_ID ? '' : rules.requestId
  for (let i = 0; i < head.count; i++) {
    const field = head.id(i)
    if (field === OTHER && idName === '' && framing.nominated === null) dropped[i] = 0
    else {
      dropped[i] =
        (HOP_BY_HOP[field] === 1 && !(field === ID.trailer && framing.chunked)) ||
        (field === ID.host && !hostInPlace) ||
        (IDENTITY[field] === 1 &&
          !(
            hop.trusted &&
            UNTOUCHED[field] === 1 &&
            !imitates(buf, base, head, i) &&
            !isOurs(hop, buf, base, head, i)
          )) ||
        (idName !== '' && namesField(buf, base + head.nameStart(i), base + head.nameEnd(i), idName)) ||
        nominated(framing, head, i, buf, base)
          ? 1
          : 0
    }
  }
  const out = outbox
  out.begin()
  requestLine(out, buf, base, head)
  if (typeof rules.host === 'object') out.text(`Host: ${rules.host.literal}\r\n`)
  else if (rules.host === 'preserve' && head.absolute) out.text(`Host: ${authority}\r\n`)
  copyKept(out, buf, base, head)
  if (hop.trusted || head.minor === 0) out.text(otherIdentity(buf, base, head, hop, authority, rules.via))
  else out.literal(hop.identity)
  if (rules.forwarded) out.text(forwardedField(hop, authority))
  if (rules.requestId !== false) {
    out.text(rules.requestId)
    out.text(': ')
    out.text(id)
    out.text('\r\n')
  }
  if (head.upgrade !== '') out.text(`Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`)
  else if (head.te && takesTrailers(buf, base, head)) out.text('TE: trailers\r\nConnection: TE\r\n')
  if (framing.chunked) out.text('Transfer-Encoding: chunked\r\n')
  else if (framing.length >= 0) out.text(`Content-Length: ${framing.length}\r\n`)
  out.text('\r\n')
  return out.toString() // in one piece: it is written, and kept for another try
}

const DEFAULT_ID = 'X-Request-Id'

/** Does `forwardRequest` leave Host out? */
export const needsHost = (head: RequestHead, rules: ForwardRules): boolean =>
  rules.host === 'backend' || (rules.host === 'preserve' && head.hostStart === head.hostEnd)

/** Puts the Host line of a backend behind the request line. */
export function withHost(text: string, host: string, port: number): string {
  const line = text.indexOf('\n') + 1
  return `${text.slice(0, line)}Host: ${formatAddress(host, port)}\r\n${text.slice(line)}`
}

/** Method and origin-form of the target, in one slice where they stand side by side. */
function requestLine(out: Outbox, buf: Buffer, base: number, head: RequestHead): void {
  if (!head.absolute) out.copy(buf, base + head.methodStart, base + head.targetEnd)
  else {
    const path = buf.latin1Slice(base + head.pathStart, base + head.pathEnd)
    const root = path === '' && head.method === 'OPTIONS' ? '*' : path === '' || path.startsWith('?') ? '/' : ''
    out.text(`${head.method} ${root}${path}`)
  }
  out.literal(VERSION)
}

const VERSION = Buffer.from(' HTTP/1.1\r\n')

/** The forwarding fields and Via where they are not those that `Hop` keeps. */
function otherIdentity(
  buf: Buffer,
  base: number,
  head: RequestHead,
  hop: Hop,
  authority: string,
  via: string | false,
): string {
  return `${told(buf, base, head, hop, authority)}${via === false ? '' : `Via: ${head.minor === 0 ? '1.0' : hop.version} ${via}\r\n`}`
}

/** Behind a trusted proxy what it said goes on, and the proxy itself is added to the chain. */
function told(buf: Buffer, base: number, head: RequestHead, hop: Hop, authority: string): string {
  const by = (id: number): string => (hop.trusted ? first(buf, base, head, id) : '')
  const chain = hop.trusted ? joined(buf, base, head, ID['x-forwarded-for']) : ''
  const host = by(ID['x-forwarded-host']) || authority
  return (
    `X-Forwarded-For: ${chain === '' ? '' : `${chain}, `}${hop.clientAddress}\r\n` +
    `X-Forwarded-Proto: ${by(ID['x-forwarded-proto']) || hop.scheme}\r\n` +
    (host === '' ? '' : `X-Forwarded-Host: ${host}\r\n`) +
    `X-Forwarded-Port: ${by(ID['x-forwarded-port']) || hop.port}\r\n${hop.certificate}`
  )
}

/** RFC 7239 §4: an IPv6 address and a host with a port are quoted. */
function forwardedField(hop: Hop, authority: string): string {
  const client = isIPv6(hop.clientAddress) ? `"[${hop.clientAddress}]"` : hop.clientAddress
  return `Forwarded: for=${client};host="${authority}";proto=${hop.scheme}\r\n`
}

/** Does TE say that the client takes trailers? */
export function takesTrailers(buf: Buffer, base: number, head: RequestHead): boolean {
  let found = false
  for (let i = 0; i < head.count; i++) {
    if (head.id(i) !== ID.te) continue
    forEachElement(buf, base + head.valueStart(i), base + head.valueEnd(i), (start, end) => {
      if (equals(buf, start, end, 'trailers')) found = true
    })
  }
  return found
}

/** How the answer's body is framed towards the client. */
export type ResponseFraming = 'none' | 'length' | 'chunked' | 'close'

/** What is of this hop alone in an answer's head. */
export interface ResponseHop {
  readonly body: ResponseFraming
  /** Value of the Connection field; '': none. */
  readonly connection: string
  /** Value of the Upgrade field; '': none. */
  readonly upgrade: string
  /** Trailers go on: so does the field that announces them. */
  readonly trailers: boolean
}

/** What the client gets of an answer's head, as text. */
export function forwardResponse(buf: Buffer, base: number, head: Head, framing: Framing, hop: ResponseHop): string {
  outbox.begin()
  writeResponse(outbox, buf, base, head, framing, hop)
  return outbox.toString()
}

/** The same behind what is in `out`. */
export function writeResponse(
  out: Outbox,
  buf: Buffer,
  base: number,
  head: Head,
  framing: Framing,
  { body, connection, upgrade, trailers }: ResponseHop,
): void {
  let dated = false
  // The length of a HEAD or 304 answer tells of a body that does not come: it is kept (RFC 9110 §8.6).
  const tellsLength = body !== 'chunked' && framing.length >= 0 && head.status >= 200 && head.status !== 204
  for (let i = 0; i < head.count; i++) {
    const field = head.id(i)
    if (field === OTHER && framing.nominated === null) dropped[i] = 0
    else {
      if (field === ID.date) dated = true
      dropped[i] =
        (HOP_BY_HOP[field] === 1 &&
          !(field === ID.trailer && trailers) &&
          !(field === ID['content-length'] && tellsLength)) ||
        nominated(framing, head, i, buf, base)
          ? 1
          : 0
    }
  }
  // Behind the version the status line goes on as it came, but with the space that RFC 9112 §4 asks for and many leave out
  // together with the reason; a Content-Length has been read as one plain number.
  out.literal(STATUS_VERSION)
  out.copy(buf, base + head.statusStart, base + head.reasonEnd)
  out.text(head.reasonEnd - head.statusStart === 3 ? ' \r\n' : '\r\n')
  copyKept(out, buf, base, head)
  if (!dated && head.status >= 200) out.text(`Date: ${httpDate()}\r\n`)
  if (upgrade !== '') out.text(`Upgrade: ${upgrade}\r\n`)
  if (connection !== '') out.text(`Connection: ${connection}\r\n`)
  if (body === 'chunked') out.text('Transfer-Encoding: chunked\r\n')
  out.text('\r\n')
}

const STATUS_VERSION = Buffer.from('HTTP/1.1 ')

let dateAt = 0
let date = ''
/** The present as an HTTP date, rendered once a second. */
export function httpDate(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateAt) {
    dateAt = second
    date = new Date(second * 1000).toUTCString()
  }
  return date
}
