/** The second reader's view of a chunked body (RFC 9112 §7.1, and docs/http.md 3). */

export interface Chunked {
  readonly state: 'more' | 'bad' | 'done'
  readonly data: string
  /** Lines with their CRLF. */
  readonly trailers: string
  /** Bytes that it takes, when it is done. */
  readonly length: number
}

const SIZE_LINE = /^([0-9A-Fa-f]{1,16})(?:;([\t\x20-\x7e\x80-\xff]{0,256}))?$/
const PARTIAL_SIZE = /^(?:[0-9A-Fa-f]{1,16}(?:;[\t\x20-\x7e\x80-\xff]{0,256})?\r?)?$/
const TRAILER = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/
const PARTIAL_TRAILER = /^(?:\r|[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[\t\x20-\x7e\x80-\xff]*\r?)?)?$/
const MOST = 16 * 1024 // bytes of extensions, and of trailers

export function readChunked(text: string): Chunked {
  let at = 0
  let data = ''
  let extensions = 0
  const answer = (state: Chunked['state'], trailers = ''): Chunked => ({ state, data, trailers, length: at })
  for (;;) {
    const end = text.indexOf('\r\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    const match = (end < 0 ? PARTIAL_SIZE : SIZE_LINE).exec(line)
    if (match === null) return answer('bad')
    const digits = /^[0-9A-Fa-f]*/.exec(line)?.[0] ?? ''
    if (digits !== '' && BigInt(`0x${digits}`) > BigInt(Number.MAX_SAFE_INTEGER)) return answer('bad')
    extensions += Math.max(0, line.replace(/\r$/, '').length - digits.length - 1)
    if (extensions > MOST) return answer('bad')
    if (end < 0) return answer('more')
    const size = Number.parseInt(digits, 16)
    at = end + 2
    if (size === 0) break
    data += text.slice(at, at + size)
    const behind = text.slice(at + size, at + size + 2)
    if (!'\r\n'.startsWith(behind)) return answer('bad')
    if (behind !== '\r\n') return answer('more')
    at += size + 2
  }
  const from = at
  for (;;) {
    const end = text.indexOf('\r\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    if (end >= 0 && line === '') {
      const trailers = text.slice(from, at)
      at = end + 2
      return answer('done', trailers)
    }
    if (!(end < 0 ? PARTIAL_TRAILER : TRAILER).test(line)) return answer('bad')
    // The limit counts as the lines come: all bytes but the LF under way.
    const bytes = end < 0 ? text.length - from : end + 1 - from
    if (bytes > MOST && line !== '' && line !== '\r') return answer('bad')
    if (end < 0) return answer('more')
    at = end + 2
  }
}

const FORBIDDEN =
  /^(?:host|authorization|cookie|set-cookie|via|expect|max-forwards|range|if-(?:match|none-match|modified-since|unmodified-since|range)|cache-control|pragma|age|date|expires|location|retry-after|vary|www-authenticate|content-(?:encoding|type|range|length)|connection|keep-alive|proxy-(?:connection|authenticate|authorization)|te|trailer|transfer-encoding|upgrade|forwarded|x-real-ip|x-request-id|x-forwarded-.+)$/

/** What of them goes on: nothing that frames, routes, authenticates, identifies, or that Connection names. */
export const kept = (trailers: string, options: ReadonlySet<string>): string =>
  trailers
    .split(/(?<=\r\n)/)
    .filter((line) => {
      const name = line.slice(0, line.indexOf(':')).toLowerCase()
      return line !== '' && !FORBIDDEN.test(name.replaceAll('_', '-')) && !options.has(name)
    })
    .join('')
