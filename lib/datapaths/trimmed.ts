/** Takes the white space of fields (RFC 9110 §5.6.3) from both ends of a text. */

const SP = 32
const HTAB = 9

/** `trim` would take more than that, and a pattern that ends in `$` looks at each run of spaces again and again. */
export function trimmed(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

const isSpace = (code: number): boolean => code === SP || code === HTAB
