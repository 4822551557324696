/** Which trailers go on: none that frames, routes, authenticates, identifies or belongs into a head (RFC 9110 §6.5.1). */
import { isDigest } from '../compression/answer.ts'
import { FORWARDED_FAMILY, fieldId, HOP_BY_HOP, IDENTITY } from './fields.ts'

const FORBIDDEN = new Set([
  'host',
  'authorization',
  'cookie',
  'set-cookie',
  'via',
  'expect',
  'max-forwards',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'cache-control',
  'pragma',
  'age',
  'date',
  'expires',
  'location',
  'retry-after',
  'vary',
  'www-authenticate',
  'content-encoding',
  'content-type',
  'content-range',
])

/**
 * The lines of `trailers` (each with its CRLF, well-formed) that go on.
 * @param nominated names that Connection has, in lower case: these are of this hop, in a trailer too (RFC 9110 §7.6.1)
 */
export function keptTrailers(trailers: string, nominated: ReadonlySet<string> | null): string {
  if (trailers === '') return ''
  let kept = ''
  for (const line of trailers.split('\r\n')) {
    const name = line.slice(0, line.indexOf(':'))
    const lower = name.toLowerCase()
    if (line === '' || nominated?.has(lower) === true || FORBIDDEN.has(lower.replaceAll('_', '-'))) continue
    const id = fieldId(Buffer.from(name, 'latin1'), 0, name.length)
    if (HOP_BY_HOP[id] !== 1 && IDENTITY[id] !== 1 && id !== FORWARDED_FAMILY) kept += `${line}\r\n`
  }
  return kept
}

/** The same for a body that has been compressed: digests of it as it was would not hold any more. */
export function packedTrailers(trailers: string, nominated: ReadonlySet<string> | null): string {
  const lines = keptTrailers(trailers, nominated).split('\r\n')
  return lines.map((line) => (line === '' || isDigest(line.slice(0, line.indexOf(':'))) ? '' : `${line}\r\n`)).join('')
}
