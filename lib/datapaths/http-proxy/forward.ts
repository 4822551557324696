/** The fields that go on, as the flat lists that node:http writes in their order and case. HTTP.md 9–13. */
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import { formatAddress } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { isDigest } from '../compression/answer.ts'
import type { ServiceView } from '../contract.ts'
import { CERTIFICATE_PREFIX } from '../http/field-names.ts'
import { httpDate } from '../http/forward.ts'
import { keptTrailers } from '../http/trailers.ts'
import {
  elementsOf,
  type Field,
  fieldsOf,
  isHopByHop,
  isIdentity,
  isNominated,
  isTwin,
  isUntouched,
  keyOf,
} from './fields.ts'
import type { RequestHead } from './request.ts'
import type { ResponseHead } from './response.ts'

/** What backends are told of a client connection. */
export interface Hop {
  readonly address: string
  readonly scheme: 'http' | 'https'
  /** The port that the client came to. */
  readonly port: number
  /** The peer is a trusted proxy: its forwarding fields are believed. */
  readonly trusted: boolean
  /** Lines of its certificate; '': it was not asked for one. */
  readonly certificate: string
}

const valuesOf = (fields: readonly Field[], name: string): string[] =>
  fields.filter((field) => field.key === name && !isTwin(field)).map(({ value }) => value)

/** What goes on of a request's fields: all, but for Host where that depends on the backend (`withHost`). */
export function requestFields(head: RequestHead, rules: ServiceView['http'], hop: Hop, id: string): string[] {
  const { fields, framing, authority } = head
  const out: string[] = []
  const { host, requestId } = rules
  const inPlace = host === 'preserve' && !head.absolute && authority !== ''
  const literal = typeof host === 'object' ? host.literal : host === 'preserve' && !inPlace ? authority : ''
  if (literal !== '') out.push('Host', literal)
  for (const field of fields) {
    const gone =
      (isHopByHop(field) && !(field.key === 'trailer' && framing.chunked)) ||
      (field.key === 'host' && !inPlace) ||
      (isIdentity(field) && !(hop.trusted && isUntouched(field) && !isOurs(hop, field))) ||
      (requestId !== false && field.key === keyOf(requestId)) ||
      isNominated(field, framing.nominated)
    if (!gone) out.push(field.name, field.value)
  }
  out.push(...identity(fields, hop, authority))
  if (rules.via !== false) out.push('Via', `1.${head.minor} ${rules.via}`)
  if (rules.forwarded) out.push('Forwarded', forwarded(hop, authority))
  if (requestId !== false) out.push(requestId, id)
  if (head.upgrade !== '') out.push('Connection', 'Upgrade', 'Upgrade', head.upgrade)
  else if (head.trailers) out.push('TE', 'trailers', 'Connection', 'TE')
  if (framing.chunked) out.push('Transfer-Encoding', 'chunked')
  else if (framing.length >= 0) out.push('Content-Length', String(framing.length))
  return out
}

/** node:http writes a head with Expect as UTF-8, which would garble values with bytes from 0x80 up: then it stays here. */
export function withoutGarbling(raw: readonly string[]): readonly string[] {
  if (!raw.some((text) => /[\x80-\xff]/.test(text))) return raw
  return raw.filter((_text, i) => raw[i - (i % 2)]?.toLowerCase() !== 'expect')
}

/** The fields with the backend's own address as Host, where there is none yet. */
export function withHost(fields: readonly string[], { host, port }: Backend): readonly string[] {
  for (let i = 0; i < fields.length; i += 2) if (fields[i]?.toLowerCase() === 'host') return fields
  return ['Host', formatAddress(host, port), ...fields]
}

/** Behind a trusted proxy what it said goes on, and the proxy itself is added to the chain. */
function identity(fields: readonly Field[], hop: Hop, authority: string): string[] {
  const told = (name: string): string[] => (hop.trusted ? valuesOf(fields, name) : [])
  const chain = told('x-forwarded-for').join(', ')
  const host = told('x-forwarded-host')[0] || authority
  return [
    'X-Forwarded-For',
    chain === '' ? hop.address : `${chain}, ${hop.address}`,
    'X-Forwarded-Proto',
    told('x-forwarded-proto')[0] || hop.scheme,
    ...(host === '' ? [] : ['X-Forwarded-Host', host]),
    'X-Forwarded-Port',
    told('x-forwarded-port')[0] || String(hop.port),
    ...certificateFields(hop.certificate),
  ]
}

/** We know the peer's certificate, and say so ourselves, whoever the peer is. */
const isOurs = ({ certificate }: Hop, { key }: Field): boolean =>
  certificate !== '' && key.startsWith(CERTIFICATE_PREFIX)

const certificateFields = (lines: string): string[] =>
  lines.split('\r\n').flatMap((line) => (line === '' ? [] : line.split(/: (.*)/s, 2)))

/** RFC 7239 §4: an IPv6 address and a host with a port are quoted. */
const forwarded = ({ address, scheme }: Hop, authority: string): string =>
  `for=${isIPv6(address) ? `"[${address}]"` : address};host="${authority}";proto=${scheme}`

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

/** What the client gets of an answer's fields. */
export function responseFields(
  { status, fields, framing }: ResponseHead,
  { body, connection, upgrade, trailers }: ResponseHop,
): string[] {
  const out: string[] = []
  let dated = false
  // The length of a HEAD or 304 answer tells of a body that does not come: it is kept (RFC 9110 §8.6).
  const tellsLength = body !== 'chunked' && framing.length >= 0 && status >= 200 && status !== 204
  for (const field of fields) {
    if (field.key === 'date') dated = true
    const kept = (field.key === 'trailer' && trailers) || (field.key === 'content-length' && tellsLength)
    if ((isHopByHop(field) && !kept) || isNominated(field, framing.nominated)) continue
    out.push(field.name, field.value)
  }
  if (!dated && status >= 200) out.push('Date', httpDate())
  if (upgrade !== '') out.push('Upgrade', upgrade)
  if (connection !== '') out.push('Connection', connection)
  if (body === 'chunked') out.push('Transfer-Encoding', 'chunked')
  return out
}

/** node:http garbles the bytes from 0x80 up of a Content-Disposition that stands behind a Content-Length (nodejs/node#46528). */
export function lengthBehindDisposition(raw: readonly string[]): readonly string[] {
  const names = raw.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : ''))
  const at = names.indexOf('content-length')
  if (at < 0 || names.lastIndexOf('content-disposition') < at) return raw
  return [...raw.slice(0, at), ...raw.slice(at + 2), ...raw.slice(at, at + 2)]
}

/** A head as text, for what node:http has no means to write: interim answers, and the switch to another protocol. */
export function headText(status: number, reason: string, raw: readonly string[]): string {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  for (let i = 0; i + 1 < raw.length; i += 2) text += `${raw[i]}: ${raw[i + 1]}\r\n`
  return `${text}\r\n`
}

const MAX_TRAILERS = 16 * 1024

/** The trailers of `message` that go on, in pairs; null: they are too long. */
export function forwardedTrailers({ rawTrailers, rawHeaders }: IncomingMessage): [string, string][] | null {
  if (rawTrailers.length === 0) return []
  let text = ''
  for (let i = 0; i + 1 < rawTrailers.length; i += 2) text += `${rawTrailers[i]}: ${rawTrailers[i + 1]}\r\n`
  if (text.length > MAX_TRAILERS) return null
  const connection = fieldsOf(rawHeaders).filter(({ key }) => key === 'connection')
  return keptTrailers(text, new Set(connection.flatMap(({ value }) => elementsOf(value.toLowerCase()))))
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
}

/** The same behind a body that has been compressed: digests of it as it was would not hold any more. */
export const packedTrailers = (message: IncomingMessage): [string, string][] | null =>
  forwardedTrailers(message)?.filter(([name]) => !isDigest(name)) ?? null
