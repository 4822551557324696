/** What compression makes of an answer's fields, and which answers it leaves alone: pure. */
import { trimmed } from '../trimmed.ts'
import type { Encoding } from './negotiate.ts'

export type Row = readonly [name: string, value: string]

/** What is compressed, as the service says. */
export interface Rules {
  readonly minSize: number
  matches(type: string): boolean
}

/** Answers with a body that is a representation of its own; not 206, which is a part of one. */
const STATUSES = new Set([200, 201, 202, 203, 207])

/** They tell of the body as the backend sent it: an end-to-end promise that we would break (RFC 9530, RFC 1864). */
const DIGESTS = new Set(['content-md5', 'digest', 'content-digest', 'repr-digest'])

/** What is no tag, and so can't be made weak, goes: it would name two different bodies. */
const TAG = /^(?:W\/)?"/

export const isDigest = (name: string): boolean => DIGESTS.has(name.toLowerCase())

/** Has a list of directives this one, with whatever argument? */
export const names = (list: string, directive: string): boolean =>
  list.split(',').some((each) => trimmed(each.split('=', 1)[0] ?? '').toLowerCase() === directive)

/** May an answer be compressed for a client that wants it so? `length` -1: not known. */
export function compressible(status: number, rows: readonly Row[], length: number, rules: Rules): boolean {
  if (!STATUSES.has(status) && status < 400) return false
  if (length >= 0 && length < rules.minSize) return false
  let type: string | null = null
  for (const [name, value] of rows) {
    const key = name.toLowerCase()
    if (key === 'content-type') {
      if (type !== null) return false
      type = trimmed(value.split(';', 1)[0] ?? '').toLowerCase()
    } else if (key === 'content-encoding') {
      if (trimmed(value).toLowerCase() !== 'identity') return false
    } else if (key === 'cache-control') {
      if (names(value, 'no-transform')) return false
    } else if (key === 'trailer') {
      if (value.split(',').some((each) => isDigest(trimmed(each)))) return false
    } else if (key === 'content-range' || isDigest(key)) return false
  }
  return type !== null && rules.matches(type)
}

/** The fields of a compressed answer. With `chunked` the body is framed so. */
export function compressedRows(rows: readonly Row[], encoding: Encoding, chunked: boolean): Row[] {
  const out: Row[] = []
  for (const row of rows) {
    const key = row[0].toLowerCase()
    if (
      key === 'content-length' ||
      key === 'content-encoding' ||
      key === 'accept-ranges' ||
      key === 'transfer-encoding'
    )
      continue
    if (key !== 'etag') out.push(row)
    else if (TAG.test(trimmed(row[1]))) out.push(weakened(row))
  }
  out.push(['Content-Encoding', encoding])
  if (chunked) out.push(['Transfer-Encoding', 'chunked'])
  return varying(out)
}

/** Says that the answer depends on Accept-Encoding, where it does not say so or more. */
export function varying(rows: readonly Row[]): Row[] {
  const told = rows.filter(([name]) => name.toLowerCase() === 'vary')
  if (told.some(([, value]) => names(value, '*') || names(value, 'accept-encoding'))) return [...rows]
  const last = told.findLast(([, value]) => value !== '')
  if (last === undefined) return [...rows, ['Vary', 'Accept-Encoding']]
  return rows.map((row) => (row === last ? [row[0], `${row[1]}, Accept-Encoding`] : row))
}

/** Two bodies of one tag are no longer the same byte for byte (RFC 9110 §8.8.1). */
const weakened = (row: Row): Row => (trimmed(row[1]).startsWith('"') ? [row[0], `W/${trimmed(row[1])}`] : row)

/**
 * A 304 to a client that holds a compressed answer names that answer's tag: a cache looks for it by the tag (RFC 9111
 * §4.3.4). Null: the client holds another one.
 */
export function revalidatedRows(rows: readonly Row[], ifNoneMatch: string): Row[] | null {
  const tag = rows.find(([name]) => name.toLowerCase() === 'etag')
  if (tag === undefined || !trimmed(tag[1]).startsWith('"')) return null
  const held: readonly string[] = ifNoneMatch.match(/(?:W\/)?"[^"]*"/g) ?? []
  const strong = trimmed(tag[1])
  if (!held.includes(`W/${strong}`) || held.includes(strong)) return null
  return varying(rows.map((row) => (row === tag ? weakened(row) : row)))
}
