/** The second reader's view of an answer's head, and what it says must reach the client. */
import { type Faults, type Framing, folded, framingOf, type Limits, type Line, optionsOf, readLines } from './head.ts'

export interface Response {
  readonly status: number
  /** Behind the version. */
  readonly rest: string
  readonly minor: number
  readonly fields: readonly Line[]
  readonly framing: Framing
  /** Bytes of the head. */
  readonly length: number
}

/** What is of one hop alone. */
export interface Hop {
  readonly body: 'none' | 'length' | 'chunked' | 'close'
  readonly connection: string
  readonly upgrade: string
  readonly trailers: boolean
}

const STATUS_LINE = /^HTTP\/(\d)\.(\d) ((\d{3})(?: ([\t\x20-\x7e\x80-\xff]*))?)$/
const BEGUN = /^HTTP\/[01]\.[01] (?:[1-5]\d\d(?:\r| [\t\x20-\x7e\x80-\xff]*\r?)?|[1-5]?\d?\d?|\d{1,3})$/
const MOST_REASON = 1024

/** The answer at the start of `text`; undefined: not whole, or refused, which `faults` then says. */
export function readResponse(text: string, limits: Limits, faults: Faults): Response | undefined {
  const { start, started, fields, whole, length } = readLines(text, limits, faults, true)
  if (!started) {
    const version = start.slice(0, 9)
    const sound = version.length < 9 ? isVersion(version) : BEGUN.test(start) && version === `HTTP/1.${start[7]} `
    if (!sound || /^.{12} (.{1025,})$/.test(start.replace(/\r$/, ''))) faults.add(400)
    return undefined
  }
  const match = STATUS_LINE.exec(start)
  const [, major = '', minor = '', rest = '', code = '', reason = ''] = match ?? []
  const status = Number(code)
  if (match === null || major !== '1' || Number(minor) > 1 || status < 100 || status > 599) faults.add(400)
  if (reason.length > MOST_REASON) faults.add(400)
  if (!whole) return undefined
  const framing = framingOf(fields, Number(minor), faults)
  return faults.size > 0 ? undefined : { status, rest, minor: Number(minor), fields, framing, length }
}

const isVersion = (text: string): boolean => 'HTTP/'.startsWith(text) || /^HTTP\/\d(?:\.\d?)?$/.test(text)

const HOP_BY_HOP =
  /^(?:connection|keep-alive|proxy-(?:connection|authenticate|authorization)|te|trailer|transfer-encoding|upgrade|content-length)$/
const PROTECTED = /^(?:host|content-length|cookie|authorization|via|forwarded|x-real-ip|x-request-id|x-forwarded-.+)$/

/** The head that must reach the client, but for a Date that we add. */
export function image({ status, rest, fields, framing }: Response, hop: Hop): string {
  const options = optionsOf(fields)
  const tellsLength = hop.body !== 'chunked' && framing.length >= 0 && status >= 200 && status !== 204
  const kept = fields.filter(({ name }) => {
    const plain = folded(name)
    if (plain === 'content-length') return tellsLength
    if (HOP_BY_HOP.test(plain)) return plain === 'trailer' && hop.trailers && !options.has(name.toLowerCase())
    return PROTECTED.test(plain) || !options.has(name.toLowerCase())
  })
  const out = [`HTTP/1.1 ${rest}${rest.length === 3 ? ' ' : ''}`, ...kept.map(({ raw }) => raw)]
  if (hop.upgrade !== '') out.push(`Upgrade: ${hop.upgrade}`)
  if (hop.connection !== '') out.push(`Connection: ${hop.connection}`)
  if (hop.body === 'chunked') out.push('Transfer-Encoding: chunked')
  return `${out.join('\r\n')}\r\n\r\n`
}
