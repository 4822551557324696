/** Writes the heads that go on: to the backend, and back to the client. HTTP.md lines 9–11, 13. */
import { isIPv6 } from 'node:net'
import { formatAddress } from '../../core/index.ts'
import { equals, forEachElement } from './bytes.ts'
import { FORWARDED_FAMILY, HOP_BY_HOP, ID, IDENTITY, PROTECTED } from './fields.ts'
import type { Framing } from './framing.ts'
import type { Head } from './head.ts'
import type { RequestHead } from './request.ts'

/** What the fields that we add say of the client and the connection. */
export interface ForwardedFacts {
  readonly clientAddress: string
  readonly scheme: 'http' | 'https'
  readonly port: number
  /** Its forwarding fields are believed. */
  readonly trusted: boolean
}

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

/** The start of the request line and what goes before Host; and everything behind Host up to the end of the head. */
export interface ForwardedRequest {
  /** `GET /path HTTP/1.1\r\n` */
  line: string
  /** The Host line, or '' where it depends on the backend. */
  host: string
  /** All other lines and the empty one. */
  rest: string
}

/** What the backend gets of a request's head. */
export function forwardRequest(
  buf: Buffer,
  base: number,
  head: RequestHead,
  rules: ForwardRules,
  facts: ForwardedFacts,
  id: string,
): ForwardedRequest {
  const { framing } = head
  const path =
    head.pathStart === head.pathEnd
      ? head.method === 'OPTIONS'
        ? '*'
        : '/'
      : head.absolute && buf[base + head.pathStart] === 63
        ? `/${buf.latin1Slice(base + head.pathStart, base + head.pathEnd)}`
        : buf.latin1Slice(base + head.pathStart, base + head.pathEnd)
  const authority = buf.latin1Slice(base + head.hostStart, base + head.hostEnd)
  const host =
    rules.host === 'preserve' && authority !== ''
      ? `Host: ${authority}\r\n`
      : typeof rules.host === 'object'
        ? `Host: ${rules.host.literal}\r\n`
        : ''
  const idName = rules.requestId === false ? '' : rules.requestId.toLowerCase()
  for (let i = 0; i < head.count; i++) {
    const field = head.id(i)
    dropped[i] =
      (HOP_BY_HOP[field] === 1 && !(field === ID.trailer && framing.chunked)) ||
      field === ID.host ||
      (IDENTITY[field] === 1 && !(facts.trusted && TRUSTED_AS_IT_IS[field] === 1)) ||
      (idName !== '' && equals(buf, base + head.nameStart(i), base + head.nameEnd(i), idName)) ||
      nominated(framing, head, i, buf, base)
        ? 1
        : 0
  }
  const kept = keptFields(buf, base, head)
  let ours = ''
  if (facts.trusted) {
    const chain = joined(buf, base, head, ID['x-forwarded-for'])
    ours += `X-Forwarded-For: ${chain === '' ? '' : `${chain}, `}${facts.clientAddress}\r\n`
    ours += `X-Forwarded-Proto: ${first(buf, base, head, ID['x-forwarded-proto']) || facts.scheme}\r\n`
    ours += `X-Forwarded-Host: ${first(buf, base, head, ID['x-forwarded-host']) || authority}\r\n`
    ours += `X-Forwarded-Port: ${first(buf, base, head, ID['x-forwarded-port']) || facts.port}\r\n`
  } else {
    ours += `X-Forwarded-For: ${facts.clientAddress}\r\nX-Forwarded-Proto: ${facts.scheme}\r\n`
    if (authority !== '') ours += `X-Forwarded-Host: ${authority}\r\n`
    ours += `X-Forwarded-Port: ${facts.port}\r\n`
  }
  if (rules.forwarded) ours += forwardedField(facts, authority)
  if (rules.via !== false) ours += `Via: 1.${head.minor} ${rules.via}\r\n`
  if (rules.requestId !== false) ours += `${rules.requestId}: ${id}\r\n`
  if (head.upgrade !== '') ours += `Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`
  else if (takesTrailers(buf, base, head)) ours += 'TE: trailers\r\nConnection: TE\r\n'
  if (framing.chunked) ours += 'Transfer-Encoding: chunked\r\n'
  else if (framing.length >= 0) ours += `Content-Length: ${framing.length}\r\n`
  return { line: `${head.method} ${path} HTTP/1.1\r\n`, host, rest: `${kept}${ours}\r\n` }
}

/** RFC 7239 §4: an IPv6 address and a host with a port are quoted. */
function forwardedField(facts: ForwardedFacts, authority: string): string {
  const client = isIPv6(facts.clientAddress) ? `"[${facts.clientAddress}]"` : facts.clientAddress
  return `Forwarded: for=${client};host="${authority}";proto=${facts.scheme}\r\n`
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

export const hostOfBackend = (host: string, port: number): string => `Host: ${formatAddress(host, port)}\r\n`

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
  const reason = buf.latin1Slice(base + head.reasonStart, base + head.reasonEnd)
  let dated = false
  for (let i = 0; i < head.count; i++) {
    const field = head.id(i)
    if (field === ID.date) dated = true
    dropped[i] =
      (HOP_BY_HOP[field] === 1 && !(field === ID.trailer && trailers)) || nominated(framing, head, i, buf, base) ? 1 : 0
  }
  const kept = keptFields(buf, base, head)
  let out = `HTTP/1.1 ${head.status} ${reason}\r\n${kept}`
  if (!dated && head.status >= 200) out += `Date: ${httpDate()}\r\n`
  if (upgrade !== '') out += `Upgrade: ${upgrade}\r\n`
  if (connection !== '') out += `Connection: ${connection}\r\n`
  // The length of a HEAD or 304 answer tells of a body that does not come: it is kept (RFC 9110 §8.6).
  if (body === 'chunked') out += 'Transfer-Encoding: chunked\r\n'
  else if (framing.length >= 0 && head.status >= 200 && head.status !== 204)
    out += `Content-Length: ${framing.length}\r\n`
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
