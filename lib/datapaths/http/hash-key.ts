/** What requests of a service are hashed by: the value of a header, a cookie or a query parameter, or the path. */
import type { PoolView } from '../contract.ts'
import { equals } from './bytes.ts'
import { fieldText } from './field-text.ts'
import { ID } from './fields.ts'
import type { Head } from './head.ts'

export class HashKey {
  readonly #kind: 'path' | 'header' | 'cookie' | 'query'
  readonly #name: string
  /** What the value stands behind: `name=`. */
  readonly #prefix: string

  private constructor(kind: 'path' | 'header' | 'cookie' | 'query', name: string) {
    this.#kind = kind
    this.#name = kind === 'header' ? name.toLowerCase() : name
    this.#prefix = `${name}=`
  }

  /** null: the pool does not hash, or by the client's address, which needs no look at the request. */
  static of({ balance, hash }: Pick<PoolView, 'balance' | 'hash'>): HashKey | null {
    const { key } = hash
    if (balance !== 'hash' || key === 'source-ip') return null
    if (key === 'path') return new HashKey('path', '')
    if ('header' in key) return new HashKey('header', key.header)
    return 'cookie' in key ? new HashKey('cookie', key.cookie) : new HashKey('query', key.query)
  }

  /** The key of a request; '': it has none. `path` is the target in origin-form. */
  ofHead(head: Head, buf: Buffer, base: number, path: string): string {
    if (this.#kind === 'path') return withoutQuery(path)
    if (this.#kind === 'query') return queryValue(path, this.#prefix)
    const cookie = this.#kind === 'cookie'
    for (let i = 0; i < head.count; i++) {
      if (cookie) {
        if (head.id(i) !== ID.cookie) continue
        const value = cookieValue(fieldText(head, buf, base, i), this.#prefix)
        if (value !== '') return value
      } else if (equals(buf, base + head.nameStart(i), base + head.nameEnd(i), this.#name))
        return fieldText(head, buf, base, i)
    }
    return ''
  }

  /** The same for a request whose fields are already text. */
  ofFields(fields: readonly { readonly name: string; readonly value: string }[], path: string): string {
    if (this.#kind === 'path') return withoutQuery(path)
    if (this.#kind === 'query') return queryValue(path, this.#prefix)
    const cookie = this.#kind === 'cookie'
    const wanted = cookie ? 'cookie' : this.#name
    for (const { name, value } of fields) {
      if (name.toLowerCase() !== wanted) continue
      const found = cookie ? cookieValue(value, this.#prefix) : value
      if (found !== '' || !cookie) return found
    }
    return ''
  }
}

function withoutQuery(path: string): string {
  const at = path.indexOf('?')
  return (at < 0 ? path : path.slice(0, at)) || '/'
}

/** As it stands in the URL: nothing is decoded. */
function queryValue(path: string, prefix: string): string {
  let at = path.indexOf('?')
  while (at >= 0) {
    const end = path.indexOf('&', at + 1)
    if (path.startsWith(prefix, at + 1)) return path.slice(at + 1 + prefix.length, end < 0 ? path.length : end)
    at = end
  }
  return ''
}

/** RFC 6265 §5.4: pairs with `; ` between them; some clients leave the space out. */
function cookieValue(text: string, prefix: string): string {
  let at = 0
  for (;;) {
    while (text.charCodeAt(at) === 32) at++
    const end = text.indexOf(';', at)
    if (text.startsWith(prefix, at)) return text.slice(at + prefix.length, end < 0 ? text.length : end).trimEnd()
    if (end < 0) return ''
    at = end + 1
  }
}
