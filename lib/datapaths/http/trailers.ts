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

/** The lines of `trailers` (each with its CRLF, well-formed) that go on. */
export function keptTrailers(trailers: string): string {
  if (trailers === '') return ''
  let kept = ''
  for (const line of trailers.split('\r\n')) {
    const name = line.slice(0, line.indexOf(':'))
    if (line === '' || FORBIDDEN.has(name.toLowerCase().replaceAll('_', '-'))) continue
    const id = fieldId(Buffer.from(name, 'latin1'), 0, name.length)
    if (HOP_BY_HOP[id] !== 1 && IDENTITY[id] !== 1 && id !== FORWARDED_FAMILY) kept += `${line}\r\n`
  }
  return kept
}

/** The same for a body that has been compressed: digests of it as it was would not hold any more. */
export function packedTrailers(trailers: string): string {
  const lines = keptTrailers(trailers).split('\r\n')
  return lines.map((line) => (line === '' || isDigest(line.slice(0, line.indexOf(':'))) ? '' : `${line}\r\n`)).join('')
}
