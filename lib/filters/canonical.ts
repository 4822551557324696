/**
 * The one form of a path: what rules are matched against is exactly what is forwarded.
 *
 * RFC 3986 §6.2.2: escapes in upper case, unreserved characters without them, dot segments resolved; a character that a
 * path can't hold is escaped. Once made canonical, a path stays as it is. What backends are known to read in a second
 * way (`%2F`, `\`, `..;/`, `%252e`, overlong UTF-8) goes by policy, and is refused by default.
 */
import type { Refusal } from './refusal.ts'

export interface PathPolicy {
  /** `%00`. */
  readonly nul: 'reject' | 'pass'
  /** `%01` to `%1F`, and `%7F`. */
  readonly controls: 'reject' | 'pass'
  /** `%2F`. */
  readonly encodedSlash: 'reject' | 'pass' | 'decode'
  /** `\` and `%5C`; decoded it is a slash. */
  readonly backslash: 'reject' | 'pass' | 'decode'
  /** `/./` and `/../`; decoded: resolved. Above the root, and hidden as in `..;/` or `%2F..`, they are refused. */
  readonly dotSegments: 'reject' | 'pass' | 'decode'
  /** `//`. */
  readonly emptySegments: 'reject' | 'pass' | 'merge'
  /** An escaped escape of a dot, slash, backslash, semicolon or NUL: `%252e`. */
  readonly doubleEncoding: 'reject' | 'pass'
  /** `;` and `%3B`. */
  readonly parameters: 'reject' | 'pass'
}

export const SAFE_PATHS: PathPolicy = {
  nul: 'reject',
  controls: 'reject',
  encodedSlash: 'reject',
  backslash: 'reject',
  dotSegments: 'decode',
  emptySegments: 'merge',
  doubleEncoding: 'reject',
  parameters: 'pass',
}

const MAX_PATH = 32 * 1024 // the greatest http.maxTarget

const refuse = (detail: string, status = 400): Refusal => ({ status, detail })
const NO_PATH = refuse('the path does not start with a slash')
const BAD_BYTE = refuse('the path has a character that no path has')
const MALFORMED = refuse('the path has a malformed escape')
const NUL = refuse('the path has an encoded NUL')
const CONTROL = refuse('the path has an encoded control character')
const ENCODED_SLASH = refuse('the path has an encoded slash')
const BACKSLASH = refuse('the path has a backslash')
const PARAMETERS = refuse('the path has a semicolon')
const DOUBLE = refuse('the path has an escape that is escaped')
const OVERLONG = refuse('the path has an overlong character')
const EMPTY = refuse('the path has an empty segment')
const DOTS = refuse('the path has a dot segment')
const HIDDEN = refuse('the path has a hidden dot segment')
const ABOVE = refuse('the path climbs above the root')
const TOO_LONG = refuse('the path is too long', 414)

/** Stands as it is: unreserved, sub-delims, `:`, `@` (RFC 3986 §3.3), and the slash. */
const PCHAR = 1
/** The same escaped and not (RFC 3986 §2.3). */
const UNRESERVED = 2
const CLASS = new Uint8Array(256)
for (let code = 0; code < 128; code++) {
  const char = String.fromCharCode(code)
  if (/[A-Za-z0-9\-._~]/.test(char)) CLASS[code] = PCHAR | UNRESERVED
  else if (/[!$&'()*+,;=:@/]/.test(char)) CLASS[code] = PCHAR
}
const ESCAPES = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)

const SLASH = 47
const DOT = 46
const PERCENT = 37
const SEMICOLON = 59

const DOUBLE_ESCAPE = /%25(?:25)*(?:2e|2f|3b|5c|00|c[01])/i
/** The forms of UTF-8 that are longer than need be: another spelling of a dot or slash for a lax decoder. */
const OVERLONG_FORM = /%(?:C[01]%[89AB]|E0%[89]|F0%8|F8%8[0-7]|FC%8[0-3])/
/** A dot segment as any backend may read it: parameters and what follows a NUL cut off, escaped separators seen as such. */
const DOT_SEGMENT = /(?:\/|%2F|%5C)\.\.?(?=$|\/|;|%3B|%2F|%5C|%00)/

/**
 * @param path of a target without its query: '' stands for `/`; the `*` of OPTIONS is left alone
 * @returns the canonical path, which has visible ASCII only, or why there is none
 */
export function canonicalPath(path: string, policy: PathPolicy): string | Refusal {
  return path === '*' ? path : normalise(path === '' ? '/' : path, policy, policy.dotSegments)
}

/**
 * The same for a path that a filter has made of a canonical one. Dot segments in it come of the rewriting, past what
 * earlier filters have allowed: they are refused, not resolved.
 */
export function rewrittenPath(path: string, policy: PathPolicy): string | Refusal {
  return normalise(path, policy, policy.dotSegments === 'pass' ? 'pass' : 'reject')
}

function normalise(path: string, policy: PathPolicy, dots: PathPolicy['dotSegments']): string | Refusal {
  if (path.charCodeAt(0) !== SLASH) return NO_PATH
  if (path.length > MAX_PATH) return TOO_LONG
  if (isPlain(path)) return path
  const text = withEscapes(path, policy)
  if (typeof text !== 'string') return text
  if (policy.doubleEncoding === 'reject' && DOUBLE_ESCAPE.test(text)) return DOUBLE
  if (OVERLONG_FORM.test(text)) return OVERLONG
  const merged = withoutEmpty(text, policy)
  if (typeof merged !== 'string') return merged
  const resolved = withoutDots(merged, dots)
  return typeof resolved === 'string' && resolved.length > MAX_PATH ? TOO_LONG : resolved
}

/** True of nearly every path: nothing in it has a second form. */
function isPlain(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code > 127 || CLASS[code] === 0 || code === SEMICOLON) return false
    if (code !== SLASH) continue
    const next = path.charCodeAt(i + 1)
    if (next === SLASH || next === DOT) return false
  }
  return true
}

/** Every character in its one form. */
function withEscapes(path: string, policy: PathPolicy): string | Refusal {
  let out = ''
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code === PERCENT) {
      const byte = (hex(path.charCodeAt(i + 1)) << 4) | hex(path.charCodeAt(i + 2))
      if (byte < 0) return MALFORMED
      const char = octet(byte, policy)
      if (typeof char !== 'string') return char
      out += char
      i += 2
      continue
    }
    if (code < 32 || code === 127 || code > 255) return BAD_BYTE
    if (code === SEMICOLON && policy.parameters === 'reject') return PARAMETERS
    const char = code === 92 ? separator(policy.backslash, '%5C', BACKSLASH) : undefined
    if (typeof char === 'object') return char
    out += char ?? (((CLASS[code] as number) & PCHAR) !== 0 ? path.charAt(i) : ESCAPES[code])
  }
  return out
}

/** What stands for an escaped byte. */
function octet(byte: number, policy: PathPolicy): string | Refusal {
  if (((CLASS[byte] as number) & UNRESERVED) !== 0) return String.fromCharCode(byte)
  if (byte === SLASH) return separator(policy.encodedSlash, '%2F', ENCODED_SLASH)
  if (byte === 92) return separator(policy.backslash, '%5C', BACKSLASH)
  if (byte === 0 && policy.nul === 'reject') return NUL
  if (((byte > 0 && byte < 32) || byte === 127) && policy.controls === 'reject') return CONTROL
  if (byte === SEMICOLON && policy.parameters === 'reject') return PARAMETERS
  return ESCAPES[byte] as string
}

const separator = (policy: 'reject' | 'pass' | 'decode', escaped: string, refusal: Refusal): string | Refusal =>
  policy === 'reject' ? refusal : policy === 'pass' ? escaped : '/'

/** Value of a hex digit; -1: it is none, and stays negative in any sum of bits. */
function hex(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

function withoutEmpty(path: string, { emptySegments }: PathPolicy): string | Refusal {
  if (emptySegments === 'pass' || !path.includes('//')) return path
  return emptySegments === 'reject' ? EMPTY : path.replaceAll(/\/{2,}/g, '/')
}

function withoutDots(path: string, dots: PathPolicy['dotSegments']): string | Refusal {
  if (dots === 'pass' || !DOT_SEGMENT.test(path)) return path
  if (dots === 'reject') return DOTS
  const kept: string[] = []
  const segments = path.slice(1).split('/')
  for (const [i, segment] of segments.entries()) {
    if (segment !== '.' && segment !== '..') kept.push(segment)
    else {
      if (segment === '..' && kept.pop() === undefined) return ABOVE
      if (i === segments.length - 1) kept.push('')
    }
  }
  const resolved = `/${kept.join('/')}`
  return DOT_SEGMENT.test(resolved) ? HIDDEN : resolved
}
