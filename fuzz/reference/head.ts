/**
 * A slow second reader of HTTP/1.1 heads, written from the grammar of RFC 9110 and 9112 and from docs/http.md, on latin-1
 * text with regular expressions. It shares no code with lib/: where both agree, neither has slipped.
 */
import { isIPv6 } from 'node:net'

export interface Limits {
  readonly maxTarget: number
  readonly maxHead: number
  readonly maxFields: number
}

export interface Line {
  readonly name: string
  readonly value: string
  /** As it came, without its CRLF. */
  readonly raw: string
}

/** What has come of a head. */
export interface Lines {
  /** The first line, or what of it has come. */
  readonly start: string
  readonly started: boolean
  readonly fields: readonly Line[]
  /** Its empty line has come. */
  readonly whole: boolean
  /** Bytes that it takes, when it is whole. */
  readonly length: number
}

const NAME = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const FIELD = new RegExp(`^(${NAME}):([ \\t]*)((?:[\\t\\x20-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)([ \\t]*)$`)
const BEGUN = new RegExp(`^(?:\\r|${NAME}(?::([\\t\\x20-\\x7e\\x80-\\xff]*)\\r?)?)?$`) // a field line that has not ended
const MOST_NAME = 256
const MOST_VALUE = 8192

/** The statuses that a message deserves to be refused with; any of them will do. */
export type Faults = Set<number>

export function readLines(text: string, limits: Limits, faults: Faults, response: boolean): Lines {
  const from = !response && text.startsWith('\r\n') ? 2 : 0
  const stop = text.indexOf('\r\n\r\n', from)
  const whole = stop >= 0
  const lines = text.slice(from, whole ? stop : text.length).split('\r\n')
  const last = whole ? '' : (lines.pop() ?? '')
  const [start, ...rest] = lines
  let offset = 0
  const fields: Line[] = []
  for (const raw of rest) {
    const match = FIELD.exec(raw)
    if (fields.length === limits.maxFields) faults.add(431)
    if (match === null) faults.add(400)
    const [, name = '', before = '', value = '', after = ''] = match ?? []
    // Of a malformed line nobody can tell the parts: what is too long in any reading may be told as that.
    if ((match === null ? raw : name).length > MOST_NAME) faults.add(431)
    if (before.length + 1 > MOST_VALUE || value.length + after.length > MOST_VALUE) faults.add(431)
    if (offset + raw.length > limits.maxHead) faults.add(431)
    fields.push({ name, value, raw })
    offset += raw.length + 2
  }
  if (!whole && start !== undefined) checkBegun(last, offset, fields.length, limits, faults)
  return { start: start ?? last, started: start !== undefined, fields, whole, length: stop + 4 }
}

/** A field line that has not ended: only what no end can mend is a fault. */
function checkBegun(line: string, offset: number, count: number, limits: Limits, faults: Faults): void {
  const match = BEGUN.exec(line)
  if (match === null) faults.add(400)
  if (line !== '' && line !== '\r' && count === limits.maxFields) faults.add(431)
  const [, value = ''] = match ?? []
  const text = value.replace(/^[ \t]+/, '')
  const name = line.length - value.length
  if ((match === null || value === '' ? line.replace(/:?\r?$/, '').length : name - 1) > MOST_NAME) faults.add(431)
  if (value.length - text.length + 1 > MOST_VALUE || text.length > MOST_VALUE) faults.add(431)
  // White space in front of a value is counted with what follows it.
  const bytes = text === '' && value !== '' && !line.endsWith('\r') ? name - 1 : line.replace(/\r$/, '').length
  if (offset + bytes > limits.maxHead) faults.add(431)
}

/** Lower case, and `_` taken for `-`: as a CGI-like reader sees a name. */
export const folded = (name: string): string => name.toLowerCase().replaceAll('_', '-')

export const named = (fields: readonly Line[], name: string): Line[] =>
  fields.filter((field) => folded(field.name) === name)

/** Elements of a list, without the white space around them. */
export const elements = (value: string): string[] =>
  value.split(',').map((element) => element.replace(/^[ \t]+|[ \t]+$/g, ''))

export interface Framing {
  readonly kind: 'none' | 'length' | 'chunked'
  readonly length: number
}

/** What the fields say of the body. */
export function framingOf(fields: readonly Line[], minor: number, faults: Faults): Framing {
  const lengths = named(fields, 'content-length')
  const codings = named(fields, 'transfer-encoding')
  if ([...lengths, ...codings].some(({ name }) => name.includes('_'))) faults.add(400)
  if (lengths.length + codings.length > 1) faults.add(400)
  for (const { value } of lengths) {
    const exact = /^\d{1,16}$/.test(value) && BigInt(value) <= BigInt(Number.MAX_SAFE_INTEGER)
    if (!exact) faults.add(400)
  }
  for (const { value } of codings) {
    if (minor === 0) faults.add(400)
    const list = elements(value).map((element) => element.toLowerCase())
    const sound = list.every((element) => new RegExp(`^${NAME}$`).test(element))
    if (!sound || list.slice(0, -1).includes('chunked')) faults.add(400)
    else if (list.length > 1 || list[0] !== 'chunked') faults.add(501)
  }
  if (codings.length > 0) return { kind: 'chunked', length: -1 }
  const [only] = lengths
  return only === undefined ? { kind: 'none', length: -1 } : { kind: 'length', length: Number(only.value) }
}

/** The options of all Connection fields. */
export const optionsOf = (fields: readonly Line[]): Set<string> =>
  new Set(
    fields
      .filter(({ name }) => name.toLowerCase() === 'connection')
      .flatMap(({ value }) => elements(value.toLowerCase()))
      .filter((option) => option !== ''),
  )

const REG_NAME = /^(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+$/ // RFC 3986 §3.2.2, but for the comma

/** A host, perhaps with a port: no userinfo, path, comma or space. */
export function isAuthority(text: string): boolean {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(text)
  if (match === null) return false
  const [, host = '', port = ''] = match
  if (Number(port) > 65_535 || host.length > 255) return false
  return host.startsWith('[') ? !host.includes('%') && isIPv6(host.slice(1, -1)) : REG_NAME.test(host)
}
