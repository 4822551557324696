/** Cookies in the values of Cookie and Set-Cookie fields (RFC 6265), in one pass over the text. */

/** Where the first `=` of `text[start..end)` stands; -1: nowhere. It never looks behind the end. */
function equalsAt(text: string, start: number, end: number): number {
  for (let i = start; i < end; i++) if (text.charCodeAt(i) === 61) return i
  return -1
}

/** The name of the pair at `text[start..end)`, without space around it; '' where there is no `=`. */
function nameAt(text: string, start: number, end: number): string {
  const equals = equalsAt(text, start, end)
  return equals < 0 ? '' : trimmed(text, start, equals)
}

function trimmed(text: string, start: number, end: number): string {
  let from = start
  let to = end
  while (from < to && isSpace(text.charCodeAt(from))) from++
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

const isSpace = (code: number): boolean => code === 32 || code === 9

/** The first value of the cookie `name` that `accepts` takes; '': there is none. */
export function cookieIn(text: string, name: string, accepts: (value: string) => boolean): string {
  for (let start = 0; start < text.length; ) {
    const semicolon = text.indexOf(';', start)
    const end = semicolon < 0 ? text.length : semicolon
    if (nameAt(text, start, end) === name) {
      const value = trimmed(text, text.indexOf('=', start) + 1, end)
      if (accepts(value)) return value
    }
    start = end + 1
  }
  return ''
}

/** A Cookie field without the cookies called `name`; the others stay byte for byte. null: nothing is left. */
export function withoutCookie(text: string, name: string): string | null {
  let out = ''
  let kept = false
  let gone = false
  for (let start = 0; start <= text.length; ) {
    const semicolon = text.indexOf(';', start)
    const end = semicolon < 0 ? text.length : semicolon
    if (nameAt(text, start, end) === name) gone = true
    else {
      const pair = text.slice(start, end)
      out += kept ? `;${pair}` : gone ? pair.trimStart() : pair
      kept = true
    }
    start = end + 1
  }
  if (!gone) return text
  return out.trim() === '' ? null : out
}

/** The value that a Set-Cookie field gives to the cookie `name`; '': it is about another one. */
export function cookieSetBy(text: string, name: string): string {
  const semicolon = text.indexOf(';')
  const end = semicolon < 0 ? text.length : semicolon
  return nameAt(text, 0, end) === name ? trimmed(text, text.indexOf('=') + 1, end) : ''
}
