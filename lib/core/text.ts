/** Text from elsewhere, made fit to be shown. */

const MAX_TEXT = 120 // one line of `query`

/** A text from a peer or a library as one short line. */
export const shortText = (text: string): string => {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
  return line.length <= MAX_TEXT ? line : `${line.slice(0, MAX_TEXT - 1).trimEnd()}…`
}
