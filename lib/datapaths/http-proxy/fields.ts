/** Fields as node:http hands them out, and which of them are of one hop, of identity, or protected. HTTP.md 9 and 10. */

import {
  FORWARDED_PREFIX,
  HOP_BY_HOP_NAMES,
  IDENTITY_NAMES,
  PROTECTED_NAMES,
  UNTOUCHED_NAMES,
} from '../http/field-names.ts'
import { trimmed } from '../trimmed.ts'

export interface Field {
  readonly name: string
  readonly value: string
  /** What the name is known by: lower case, and `_` as `-`, the twins that CGI-like backends can't tell apart. */
  readonly key: string
}

export const keyOf = (name: string): string => name.toLowerCase().replaceAll('_', '-')

export function fieldsOf(raw: readonly string[]): Field[] {
  const fields: Field[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    fields.push({ name, value: raw[i + 1] ?? '', key: keyOf(name) })
  }
  return fields
}

/** Is it another's field by its letters, and only by them? What follows the name of a family is anybody's. */
export const isTwin = ({ name }: Pick<Field, 'name'>): boolean => name.slice(0, FORWARDED_PREFIX.length).includes('_')

const HOP_BY_HOP = new Set<string>(HOP_BY_HOP_NAMES)
export const isHopByHop = ({ key }: Field): boolean => HOP_BY_HOP.has(key)

const IDENTITY = new Set<string>(IDENTITY_NAMES)
const inFamily = (key: string): boolean => key.startsWith(FORWARDED_PREFIX) && key.length > FORWARDED_PREFIX.length
export const isIdentity = ({ key }: Field): boolean => IDENTITY.has(key) || inFamily(key)

const UNTOUCHED = new Set<string>(UNTOUCHED_NAMES)
/** Of identity, what goes on untouched behind a trusted proxy; the other fields are written anew. */
export const isUntouched = (field: Field): boolean =>
  !isTwin(field) && (UNTOUCHED.has(field.key) || !IDENTITY.has(field.key))

const PROTECTED = new Set<string>(PROTECTED_NAMES)

/** Is the field named by Connection, and may it be (CVE-2021-33197)? */
export const isNominated = (field: Field, nominated: ReadonlySet<string>): boolean =>
  nominated.has(field.name.toLowerCase()) && !PROTECTED.has(field.key) && !isIdentity(field)

/** What the framing fields and Connection say. */
export interface Framing {
  /** -1: no Content-Length. */
  readonly length: number
  readonly chunked: boolean
  readonly nominated: ReadonlySet<string>
  /** Connection names Upgrade. */
  readonly upgrade: boolean
  /** The connection goes on after this message, as far as its head says. */
  readonly persistent: boolean
}

/** Why a head is refused. */
export interface Refusal {
  readonly status: number
  readonly problem: string
}
export const refusal = (status: number, problem: string): Refusal => ({ status, problem })
export const isRefusal = (value: object): value is Refusal => 'problem' in value

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** The elements of a comma-separated list. */
export const elementsOf = (value: string): string[] => value.split(',').map(trimmed)

/** Strict where node's parser is not: HTTP.md 1 and 2. */
export function readFraming(fields: readonly Field[], minor: number): Framing | Refusal {
  const lengths = fields.filter(({ key }) => key === 'content-length')
  const codings = fields.filter(({ key }) => key === 'transfer-encoding')
  for (const { name } of [...lengths, ...codings])
    if (isTwin({ name })) return refusal(400, 'a field name imitates one of framing')
  const [length, ...otherLengths] = lengths
  const [coding, ...otherCodings] = codings
  if (otherLengths.length > 0) return refusal(400, 'Content-Length is repeated')
  if (length !== undefined && !(/^\d{1,16}$/.test(length.value) && Number(length.value) <= Number.MAX_SAFE_INTEGER))
    return refusal(400, 'Content-Length is not a number')
  if (otherCodings.length > 0) return refusal(400, 'Transfer-Encoding is repeated')
  if (coding !== undefined) {
    if (minor === 0) return refusal(400, 'Transfer-Encoding on HTTP/1.0')
    const problem = codingProblem(coding.value)
    if (problem !== null) return problem
    if (length !== undefined) return refusal(400, 'Content-Length and Transfer-Encoding together')
  }
  const named = fields.filter(({ key }) => key === 'connection').flatMap(({ value }) => elementsOf(value.toLowerCase()))
  const options = new Set(named)
  const persistent = !options.has('close') && (minor === 1 || options.has('keep-alive'))
  const upgrade = options.has('upgrade')
  for (const option of ['', 'close', 'keep-alive', 'upgrade']) options.delete(option)
  return {
    length: length === undefined ? -1 : Number(length.value),
    chunked: coding !== undefined,
    nominated: options,
    upgrade,
    persistent,
  }
}

/** Anything but one `chunked`. */
function codingProblem(value: string): Refusal | null {
  if (value.toLowerCase() === 'chunked') return null
  const codings = elementsOf(value)
  const malformed =
    codings.some((coding) => !TOKEN.test(coding)) ||
    codings.slice(0, -1).some((coding) => coding.toLowerCase() === 'chunked')
  return malformed ? refusal(400, 'Transfer-Encoding is malformed') : refusal(501, 'the transfer coding is unknown')
}

const MAX_NAME = 256
const MAX_VALUE = 8 * 1024

/** More or larger fields than the limits allow. */
export function oversized(fields: readonly Field[], maxFields: number, maxHead: number): string | null {
  if (fields.length > maxFields) return 'too many fields'
  let total = 0
  for (const { name, value } of fields) {
    if (name.length > MAX_NAME) return 'a field name is too long'
    if (value.length > MAX_VALUE) return 'a field is too long'
    total += name.length + value.length + 4
  }
  return total > maxHead ? 'the fields are too large' : null
}
