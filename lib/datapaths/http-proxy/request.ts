/** What a request's head means, from what node:http read of it. HTTP.md 5–7, 11, 14, 15. */
import type { IncomingMessage } from 'node:http'
import type { ServiceView } from '../contract.ts'
import { isRequestId } from '../http/field-names.ts'
import { validHost } from '../http/host.ts'
import { receiverOf } from '../http/request.ts'
import {
  type Field,
  type Framing,
  fieldsOf,
  isRefusal,
  isTwin,
  oversized,
  type Refusal,
  readFraming,
  refusal,
} from './fields.ts'

/** Methods that may be sent again when the first try may have been processed (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

export interface RequestHead {
  readonly method: string
  /** As the client wrote it, and in origin-form. */
  readonly target: string
  readonly path: string
  /** Empty: none (HTTP/1.0). */
  readonly authority: string
  /** The authority stands in the target. */
  readonly absolute: boolean
  readonly minor: number
  readonly fields: readonly Field[]
  readonly framing: Framing
  readonly idempotent: boolean
  readonly expectContinue: boolean
  /** TE names `trailers`. */
  readonly trailers: boolean
  /** The one protocol that the request may upgrade to, as the client wrote it; ''. */
  readonly upgrade: string
}

type Rules = ServiceView['http']

export function interpret(req: IncomingMessage, rules: Rules): RequestHead | Refusal {
  const { method = '', url: target = '' } = req
  const minor = req.httpVersionMinor
  if (target.length > rules.maxTarget) return refusal(414, 'the target is too long')
  if (!/^[\x21\x22\x24-\x7e]+$/.test(target)) return refusal(400, 'the request line is malformed')
  if (req.httpVersionMajor > 1) return refusal(505, 'this is not HTTP/1')
  if (req.httpVersionMajor < 1 || minor > 1) return refusal(400, 'the version is not HTTP/1.0 or HTTP/1.1')
  const fields = fieldsOf(req.rawHeaders)
  const size = oversized(fields, rules.maxFields, rules.maxHead)
  if (size !== null) return refusal(431, size)
  const framing = readFraming(fields, minor)
  if (isRefusal(framing)) return framing
  const unwanted = unwantedField(fields, rules)
  if (unwanted !== null) return unwanted
  const place = placeOf(method, target, fields, minor)
  if (isRefusal(place)) return place
  if (method === 'CONNECT') return refusal(405, 'CONNECT is not served')
  if (method === 'TRACE' && !rules.allowTrace) return refusal(405, 'TRACE is not served')
  const expectContinue = minor === 1 && fields.some(({ key }) => key === 'expect')
  return {
    method,
    target,
    ...place,
    minor,
    fields,
    framing,
    idempotent: IDEMPOTENT.has(method),
    expectContinue,
    trailers: fields.some(({ key, value }) => key === 'te' && /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(value)),
    upgrade: upgradeOf(fields, framing, minor, rules),
  }
}

function upgradeOf(fields: readonly Field[], framing: Framing, minor: number, rules: Rules): string {
  const [field, ...others] = fields.filter(({ key }) => key === 'upgrade')
  if (field === undefined || others.length > 0) return ''
  if (minor !== 1 || !framing.upgrade || framing.length > 0 || framing.chunked) return ''
  const protocol = field.value.toLowerCase()
  return protocol !== 'h2c' && rules.upgrades.includes(protocol) ? field.value : ''
}

export const firstOf = (fields: readonly Field[], name: string): string =>
  fields.find((field) => field.key === name && !isTwin(field))?.value ?? ''

/** A field that does not pass: in the order of the fields, the first one decides. */
function unwantedField(fields: readonly Field[], rules: Rules): Refusal | null {
  let hosts = 0
  let expects = 0
  for (const { key, value } of fields) {
    if (key === 'host' && ++hosts > 1) return refusal(400, 'Host is repeated')
    if (key === 'expect' && (value.toLowerCase() !== '100-continue' || ++expects > 1))
      return refusal(417, 'the expectation is unknown')
    if (key === 'via' && rules.via !== false && value.split(',').some((hop) => receiverOf(hop) === rules.via))
      return refusal(508, 'the request was here before')
  }
  return null
}

interface Place {
  readonly path: string
  readonly authority: string
  readonly absolute: boolean
}

/** Where the request goes: target and Host together. */
function placeOf(method: string, target: string, fields: readonly Field[], minor: number): Place | Refusal {
  const host = fields.find(({ key }) => key === 'host')?.value
  const uri = /^https?:\/\/([^/?]*)(.*)$/i.exec(target)
  const absolute = uri !== null && target[0] !== '/' && method !== 'CONNECT'
  if (!absolute && target[0] !== '/' && method !== 'CONNECT') {
    if (target !== '*') return refusal(400, 'the target is neither a path nor an http URI')
    if (method !== 'OPTIONS') return refusal(400, '* is a target of OPTIONS only')
  }
  if (host === undefined && minor === 1) return refusal(400, 'Host is missing')
  const [, uriHost = '', uriPath = ''] = uri ?? []
  if (absolute && host !== undefined && host.toLowerCase() !== uriHost.toLowerCase())
    return refusal(400, 'Host and target disagree')
  const authority = host ?? (absolute ? uriHost : null)
  if (authority !== null && !isHost(authority)) return refusal(400, 'Host is malformed')
  const path = absolute ? pathOf(method, uriPath) : target
  return { path, authority: authority ?? '', absolute }
}

const pathOf = (method: string, path: string): string =>
  path === '' ? (method === 'OPTIONS' ? '*' : '/') : path[0] === '?' ? `/${path}` : path

const isHost = (text: string): boolean => validHost(Buffer.from(text, 'latin1'), 0, text.length)

/** A trusted proxy's request id: printable, and short enough to be one; else ''. */
export function requestIdOf(fields: readonly Field[]): string {
  const id = firstOf(fields, 'x-request-id')
  return isRequestId(id) ? id : ''
}

/** The size of a head, as it would be without superfluous white space. */
export const bytesOf = ({ method, target, fields }: Pick<RequestHead, 'method' | 'target' | 'fields'>): number =>
  fields.reduce((sum, { name, value }) => sum + name.length + value.length + 4, method.length + target.length + 14)
