/** The second reader's view of a request, and what it says must reach the backend. */
import {
  elements,
  type Faults,
  type Framing,
  folded,
  framingOf,
  isAuthority,
  type Limits,
  type Line,
  optionsOf,
  readLines,
} from './head.ts'

export interface Rules {
  readonly allowTrace: boolean
  readonly upgrades: readonly string[]
  readonly via: string | false
  readonly host: 'preserve' | 'backend' | { readonly literal: string }
  readonly requestId: string | false
  readonly forwarded: boolean
}

export interface Peer {
  readonly clientAddress: string
  readonly scheme: 'http' | 'https'
  readonly port: number
  readonly trusted: boolean
}

export interface Request {
  readonly method: string
  readonly target: string
  readonly minor: number
  readonly fields: readonly Line[]
  readonly framing: Framing
  readonly authority: string
  readonly absolute: boolean
  /** Origin-form. */
  readonly path: string
  readonly expects: boolean
  readonly upgrade: string
  readonly persistent: boolean
  /** Bytes of the head. */
  readonly length: number
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e]+) HTTP\/(\d)\.(\d)$/
const BEGUN = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: (?:([\x21\x22\x24-\x7e]+)(?: (.*))?)?)?)?$/s
const MOST_METHOD = 32
const lower = (text: string): string => text.toLowerCase()
const plainly = (fields: readonly Line[], name: string): Line[] => fields.filter((field) => lower(field.name) === name)

/** The request at the start of `text`; undefined: not whole, or refused with one of the statuses in `faults`. */
export function readRequest(text: string, limits: Limits, rules: Rules, faults: Faults): Request | undefined {
  const lines = readLines(text, limits, faults, false)
  const { start, fields } = lines
  const [, long = '', part = ''] = /^([^ ]*) ?([\x21\x22\x24-\x7e]*)/.exec(start) ?? []
  if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{33}/.test(long)) faults.add(400)
  else if (part.length > limits.maxTarget) faults.add(414)
  if (/^[^ ]+ [^ ]+ HTTP\/[2-9]\.\d\r/.test(start)) faults.add(505)
  if (!lines.started) {
    if (!isBegun(start) && text !== '\r') faults.add(400) // a CR: of the one empty line that may come first
    return undefined
  }
  const match = REQUEST_LINE.exec(start)
  if (match === null) {
    faults.add(400)
    return undefined
  }
  const [, method = '', target = '', major = '', digit = ''] = match
  if (method.length > MOST_METHOD) faults.add(400)
  if (Number(major) > 1) faults.add(505)
  else if (major !== '1' || Number(digit) > 1) faults.add(400)
  const minor = Number(digit)
  if (!lines.whole) return undefined
  const framing = framingOf(fields, minor, faults)
  const authority = authorityOf(method, target, minor, fields, faults)
  for (const { value } of plainly(fields, 'expect')) if (lower(value) !== '100-continue') faults.add(417)
  if (plainly(fields, 'expect').length > 1) faults.add(417)
  if (rules.via !== false && plainly(fields, 'via').some(({ value }) => passedBy(value, rules.via))) faults.add(508)
  if (method === 'CONNECT') faults.add(405)
  if (method === 'TRACE' && !rules.allowTrace) faults.add(405)
  if (faults.size > 0) return undefined
  const options = optionsOf(fields)
  const [wanted, ...others] = plainly(fields, 'upgrade')
  const mayUpgrade = minor === 1 && framing.length <= 0 && framing.kind !== 'chunked' && options.has('upgrade')
  const known = wanted !== undefined && others.length === 0 && lower(wanted.value) !== 'h2c'
  const absolute = !target.startsWith('/') && target !== '*'
  return {
    method,
    target,
    minor,
    fields,
    framing,
    authority: authority ?? '',
    absolute,
    path: absolute ? originForm(method, target) : target,
    expects: minor === 1 && plainly(fields, 'expect').length > 0,
    upgrade: mayUpgrade && known && rules.upgrades.includes(lower(wanted.value)) ? wanted.value : '',
    persistent: !options.has('close') && (minor === 1 || options.has('keep-alive')),
    length: lines.length,
  }
}

/** Could more bytes make a request line of it? */
function isBegun(line: string): boolean {
  const match = BEGUN.exec(line)
  if (match === null) return false
  const [, , version = ''] = match
  return (
    /^HTTP\/1\.[01]\r$/.test(version) || 'HTTP/'.startsWith(version) || /^HTTP\/\d?(?:(?<=\d)\.\d?)?$/.test(version)
  )
}

const passedBy = (value: string, via: string | false): boolean =>
  elements(value).some((hop) => hop.split(/[ \t]+/)[1] === via)

function originForm(method: string, target: string): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, '')
  if (path === '') return method === 'OPTIONS' ? '*' : '/'
  return path.startsWith('?') ? `/${path}` : path
}

/** The authority that counts; undefined: HTTP/1.0 without one. */
function authorityOf(
  method: string,
  target: string,
  minor: number,
  fields: readonly Line[],
  faults: Faults,
): string | undefined {
  const hosts = plainly(fields, 'host').map(({ value }) => value)
  if (hosts.length > 1 || (hosts.length === 0 && minor === 1)) faults.add(400)
  const [host] = hosts
  let authority = host
  if (method !== 'CONNECT' && !target.startsWith('/') && !(target === '*' && method === 'OPTIONS')) {
    const match = /^https?:\/\/([^/?]*)/i.exec(target)
    if (match === null) faults.add(400)
    authority = match?.[1] ?? ''
    if (host !== undefined && lower(host) !== lower(authority)) faults.add(400)
    authority = host ?? authority
  }
  if (authority !== undefined && !isAuthority(authority)) faults.add(400)
  return authority
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
])
const PROTECTED = new Set(['host', 'content-length', 'cookie', 'authorization', 'via'])

/** Says who the client is. */
export const isIdentity = (name: string, idName: string | false): boolean =>
  ['forwarded', 'x-real-ip', 'x-request-id'].includes(folded(name)) ||
  /^x-forwarded-./.test(folded(name)) ||
  (idName !== false && folded(name) === folded(idName))

/** Of a client that is trusted, these go on as they came. */
const goesOnTrusted = (name: string): boolean =>
  !name.slice(0, 'x-forwarded-'.length).includes('_') &&
  (/^(?:forwarded|x-real-ip)$/i.test(name) || !/^x-forwarded-(?:for|proto|host|port)$|^x-request-id$/i.test(name))

/** The head that must reach the backend, byte for byte. */
export function image(request: Request, rules: Rules, peer: Peer, id: string): string {
  const { method, path, fields, framing, authority, absolute, minor, upgrade } = request
  const options = optionsOf(fields)
  const inPlace = rules.host === 'preserve' && !absolute
  const kept = fields.filter(({ name }) => {
    const plain = folded(name)
    if (plain === 'host') return inPlace && !(options.has(lower(name)) && !PROTECTED.has(plain))
    if (HOP_BY_HOP.has(plain) && !(plain === 'trailer' && framing.kind === 'chunked')) return false
    if (rules.requestId !== false && plain === folded(rules.requestId)) return false
    const identity = isIdentity(name, false)
    if (identity && !(peer.trusted && goesOnTrusted(name))) return false
    return identity || PROTECTED.has(plain) || !options.has(lower(name))
  })
  const out = [`${method} ${path} HTTP/1.1`]
  if (typeof rules.host === 'object') out.push(`Host: ${rules.host.literal}`)
  else if (rules.host === 'preserve' && absolute) out.push(`Host: ${authority}`)
  out.push(...kept.map(({ raw }) => raw))
  out.push(...identityLines(request, peer))
  if (rules.via !== false) out.push(`Via: 1.${minor} ${rules.via}`)
  if (rules.forwarded) out.push(`Forwarded: for=${peer.clientAddress};host="${authority}";proto=${peer.scheme}`)
  if (rules.requestId !== false) out.push(`${rules.requestId}: ${id}`)
  const te = plainly(fields, 'te').flatMap(({ value }) => elements(lower(value)))
  if (upgrade !== '') out.push('Connection: Upgrade', `Upgrade: ${upgrade}`)
  else if (te.includes('trailers')) out.push('TE: trailers', 'Connection: TE')
  if (framing.kind === 'chunked') out.push('Transfer-Encoding: chunked')
  else if (framing.kind === 'length') out.push(`Content-Length: ${framing.length}`)
  return `${out.join('\r\n')}\r\n\r\n`
}

function identityLines({ fields, authority }: Request, peer: Peer): string[] {
  const told = (name: string): string[] => (peer.trusted ? plainly(fields, name).map(({ value }) => value) : [])
  const chain = told('x-forwarded-for').join(', ')
  const host = told('x-forwarded-host')[0] || authority
  return [
    `X-Forwarded-For: ${chain === '' ? '' : `${chain}, `}${peer.clientAddress}`,
    `X-Forwarded-Proto: ${told('x-forwarded-proto')[0] || peer.scheme}`,
    ...(host === '' ? [] : [`X-Forwarded-Host: ${host}`]),
    `X-Forwarded-Port: ${told('x-forwarded-port')[0] || peer.port}`,
  ]
}
