/** Writes the heads that go on: to the backend, and back to the client. HTTP.md lines 9–11, 13. */
import { isIPv6 } from 'node:net'
import { formatAddress } from '../../core/index.ts'
import { equals, forEachElement } from './bytes.ts'
import { FORWARDED_FAMILY, HOP_BY_HOP, ID, IDENTITY, OTHER, PROTECTED } from './fields.ts'
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
  return nominated.some((name) => equals(buf, base + head.nameStart(field), base + head.nameEnd(field), name))
}

/** Which fields of the head in hand are left out. One array for all: nothing is kept between two heads. */
const dropped = new Uint8Array(1001) // most that http.maxFields allows

/** Copies the field lines but the dropped ones, in as few slices as possible: byte for byte, in their order. */
function keptFields(buf: Buffer, base: number, head: Head): string {
  let out = ''
  let from = head.fieldsStart
  for (let i = 0; i < head.count; i++) {
    if (dropped[i] === 0) continue
    const start = head.nameStart(i)
    if (start > from) out += buf.latin1Slice(base + from, base + start)
    from = i + 1 < head.count ? head.nameStart(i + 1) : head.fieldsEnd
  }
  if (head.fieldsEnd > from) out += buf.latin1Slice(base + from, base + head.fieldsEnd)
  return out
}

/** Identity fields of a trusted proxy that go on untouched; the others are written anew. */
const TRUSTED_AS_IT_IS = new Uint8Array(IDENTITY.length)
for (const id of [FORWARDED_FAMILY, ID['x-real-ip'], ID.forwarded]) TRUSTED_AS_IT_IS[id] = 1

/** The value of the first field with this id, or ''. */
function first(buf: Buffer, base: number, head: Head, id: number): string {
  for (let i = 0; i < head.count; i++) if (head.id(i) === id) return text(buf, base, head, i)
  return ''
}

/** All values of a field, as one list. */
function joined(buf: Buffer, base: number, head: Head, id: number): string {
  const values: string[] = []
  for (let i = 0; i < head.count; i++) if (head.id(i) === id) values.push(text(buf, base, head, i))
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
  const idName = rules.requestId === false || rules.requestId === DEFAULT_ID ? '' : rules.requestId.toLowerCase()
  for (let i = 0; i < head.count; i++) {
    const field = head.id(i)
    if (field === OTHER && idName === '' && framing.nominated === null) dropped[i] = 0
    else {
      dropped[i] =
        (HOP_BY_HOP[field] === 1 && !(field === ID.trailer && framing.chunked)) ||
        (field === ID.host && !hostInPlace) ||
        (IDENTITY[field] === 1 && !(hop.trusted && TRUSTED_AS_IT_IS[field] === 1)) ||
        (idName !== '' && equals(buf, base + head.nameStart(i), base + head.nameEnd(i), idName)) ||
        nominated(framing, head, i, buf, base)
          ? 1
          : 0
    }
  }
  let out = `${requestLine(buf, base, head)} HTTP/1.1\r\n`
  if (typeof rules.host === 'object') out += `Host: ${rules.host.literal}\r\n`
  else if (rules.host === 'preserve' && head.absolute) out += `Host: ${authority}\r\n`
  out += keptFields(buf, base, head)
  out += hop.trusted ? trustedIdentity(buf, base, head, hop, authority) : hop.identity
  if (rules.forwarded) out += forwardedField(hop, authority)
  if (rules.via !== false) out += head.minor === 1 ? hop.via : `Via: 1.0 ${rules.via}\r\n`
  if (rules.requestId !== false) out += `${rules.requestId}: ${id}\r\n`
  if (head.upgrade !== '') out += `Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`
  else if (head.te && takesTrailers(buf, base, head)) out += 'TE: trailers\r\nConnection: TE\r\n'
  if (framing.chunked) out += 'Transfer-Encoding: chunked\r\n'
  else if (framing.length >= 0) out += `Content-Length: ${framing.length}\r\n`
  return `${out}\r\n`
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
function requestLine(buf: Buffer, base: number, head: RequestHead): string {
  if (!head.absolute) return buf.latin1Slice(base + head.methodStart, base + head.targetEnd)
  const path = buf.latin1Slice(base + head.pathStart, base + head.pathEnd)
  if (path === '') return `${head.method} ${head.method === 'OPTIONS' ? '*' : '/'}`
  return `${head.method} ${path.startsWith('?') ? '/' : ''}${path}`
}

/** The forwarding fields behind a trusted proxy: what it said goes on, and the proxy itself is added to the chain. */
function trustedIdentity(buf: Buffer, base: number, head: RequestHead, hop: Hop, authority: string): string {
  const chain = joined(buf, base, head, ID['x-forwarded-for'])
  const host = first(buf, base, head, ID['x-forwarded-host']) || authority
  return (
    `X-Forwarded-For: ${chain === '' ? '' : `${chain}, `}${hop.clientAddress}\r\n` +
    `X-Forwarded-Proto: ${first(buf, base, head, ID['x-forwarded-proto']) || hop.scheme}\r\n` +
    (host === '' ? '' : `X-Forwarded-Host: ${host}\r\n`) +
    `X-Forwarded-Port: ${first(buf, base, head, ID['x-forwarded-port']) || hop.port}\r\n`
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

/** What the client gets of an answer's head. */
export function forwardResponse(
  buf: Buffer,
  base: number,
  head: Head,
  framing: Framing,
  { body, connection, upgrade, trailers }: ResponseHop,
): string {
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
  const line = buf.latin1Slice(base + head.statusStart, base + head.reasonEnd)
  let out = `HTTP/1.1 ${line}${line.length === 3 ? ' ' : ''}\r\n${keptFields(buf, base, head)}`
  if (!dated && head.status >= 200) out += `Date: ${httpDate()}\r\n`
  if (upgrade !== '') out += `Upgrade: ${upgrade}\r\n`
  if (connection !== '') out += `Connection: ${connection}\r\n`
  if (body === 'chunked') out += 'Transfer-Encoding: chunked\r\n'
  return `${out}\r\n`
}

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
