/** What the affinities of a service's pools read of heads and write into them, for both engines. */
import type { HttpSide } from '../../affinity/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { ServicePool } from '../contract.ts'
import { equals } from './bytes.ts'
import { ID } from './fields.ts'
import type { Head } from './head.ts'

const COOKIE = /\r\ncookie:[ \t]*([^\r\n]*)/gi
const SET_COOKIE = /\r\nset-cookie:[ \t]*([^\r\n]*)/gi

export class AffinityFields {
  /** Lower-case names of the fields that hold keys, each once. */
  readonly #names: readonly string[]
  readonly #places = new Map<ServicePool, number>()
  /** Those whose cookies the backends don't see. */
  readonly #hiding: readonly HttpSide[]

  private constructor(pools: readonly ServicePool[]) {
    const names = new Set<string>()
    for (const { http } of pools) if (http !== null) names.add(http.field)
    this.#names = [...names]
    for (const pool of pools) if (pool.http !== null) this.#places.set(pool, this.#names.indexOf(pool.http.field))
    this.#hiding = pools.flatMap(({ http }) => (http?.hides === true ? [http] : []))
  }

  /** null: no affinity looks at heads. */
  static of(pools: readonly ServicePool[]): AffinityFields | null {
    return pools.some(({ http }) => http !== null) ? new AffinityFields(pools) : null
  }

  /** The values of the fields that may hold a key, whichever pool it will be; several cookie fields are one. */
  read(head: Head, buf: Buffer, base: number): readonly string[] {
    const values = this.#names.map(() => '')
    for (let i = 0; i < head.count; i++)
      for (let at = 0; at < values.length; at++)
        if (this.#isNamed(at, head, i, buf, base))
          this.#add(values, at, buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)))
    return values
  }

  #isNamed(at: number, head: Head, field: number, buf: Buffer, base: number): boolean {
    const name = this.#names[at] as string
    if (name === 'cookie') return head.id(field) === ID.cookie
    return equals(buf, base + head.nameStart(field), base + head.nameEnd(field), name)
  }

  /** The same of a list of fields. */
  readList(fields: readonly { readonly key: string; readonly value: string }[]): readonly string[] {
    const values = this.#names.map(() => '')
    for (const { key, value } of fields) {
      const at = this.#names.indexOf(key)
      if (at >= 0) this.#add(values, at, value)
    }
    return values
  }

  #add(values: string[], at: number, value: string): void {
    const before = values[at]
    if (before === '') values[at] = value
    else if (this.#names[at] === 'cookie') values[at] = `${before}; ${value}`
  }

  /** By what a pool knows the client; '': by nothing. */
  keyOf(values: readonly string[], place: ServicePool): string {
    const at = this.#places.get(place)
    const value = at === undefined ? '' : (values[at] ?? '')
    return value === '' || place.http === null ? '' : place.http.keyIn(value)
  }

  #shown(value: string): string | null {
    let shown: string | null = value
    for (const side of this.#hiding) shown = shown === null ? null : side.forwarded(shown)
    return shown
  }

  /** A request's head without cookies of ours. */
  forward(text: string): string {
    if (this.#hiding.length === 0) return text
    return text.replace(COOKIE, (line: string, value: string) => {
      const shown = this.#shown(value)
      if (shown === value) return line
      return shown === null ? '' : line.slice(0, line.length - value.length) + shown
    })
  }

  /** The same for names and values in turn. */
  forwardList(raw: readonly string[]): readonly string[] {
    if (this.#hiding.length === 0) return raw
    const out: string[] = []
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const [name = '', value = ''] = [raw[i], raw[i + 1]]
      const shown = name.toLowerCase() === 'cookie' ? this.#shown(value) : value
      if (shown !== null) out.push(name, shown)
    }
    return out
  }

  /** The head of the answer that `backend` gave, with what the client is to be known by. */
  answer(text: string, { http }: ServicePool, key: string, backend: Backend): string {
    if (http === null) return text
    if (http.learns) for (const match of text.matchAll(SET_COOKIE)) http.learn(match[1] ?? '', backend)
    const cookie = http.mark(key, backend)
    return cookie === '' ? text : `${text.slice(0, -2)}Set-Cookie: ${cookie}\r\nCache-Control: private\r\n\r\n`
  }

  /** The same for names and values in turn. */
  answerList(raw: readonly string[], { http }: ServicePool, key: string, backend: Backend): readonly string[] {
    if (http === null) return raw
    if (http.learns)
      for (let i = 0; i + 1 < raw.length; i += 2)
        if (raw[i]?.toLowerCase() === 'set-cookie') http.learn(raw[i + 1] ?? '', backend)
    const cookie = http.mark(key, backend)
    return cookie === '' ? raw : [...raw, 'Set-Cookie', cookie, 'Cache-Control', 'private']
  }
}
