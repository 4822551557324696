/** Reads the search filters of LDAP (RFC 4515), extensible matches aside. */

const MAX_DEPTH = 16 // nobody nests deeper by hand

/** `any` of substrings: what stands between two stars. */
export type LdapFilter =
  | { readonly kind: 'and' | 'or'; readonly filters: readonly LdapFilter[] }
  | { readonly kind: 'not'; readonly filter: LdapFilter }
  | { readonly kind: 'present'; readonly attribute: string }
  | {
      readonly kind: 'equal' | 'greater' | 'less' | 'approximately'
      readonly attribute: string
      readonly value: Buffer
    }
  | {
      readonly kind: 'substrings'
      readonly attribute: string
      readonly initial: Buffer
      readonly any: readonly Buffer[]
      readonly final: Buffer
    }

/** @returns the filter, or a sentence that says what is wrong with it */
export function parseLdapFilter(text: string): LdapFilter | string {
  const reader = new FilterReader(text)
  try {
    return reader.whole()
  } catch (error) {
    if (error instanceof FilterError) return `${error.message} (character ${reader.at + 1})`
    throw error
  }
}

class FilterError extends Error {}

const COMPARISONS = { '=': 'equal', '>=': 'greater', '<=': 'less', '~=': 'approximately' } as const
const ITEM = /([A-Za-z][A-Za-z0-9-]*(?:;[A-Za-z0-9-]+)*|\d+(?:\.\d+)*)(=|>=|<=|~=)([^()]*)\)/y

class FilterReader {
  readonly #text: string
  at = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): LdapFilter {
    const filter = this.#filter(0)
    if (this.at < this.#text.length) throw new FilterError('has more behind the filter')
    return filter
  }

  #filter(depth: number): LdapFilter {
    if (depth > MAX_DEPTH) throw new FilterError(`is nested deeper than ${MAX_DEPTH} levels`)
    this.#take('(')
    const sign = this.#text.charAt(this.at)
    if (sign !== '&' && sign !== '|' && sign !== '!') return this.#item()
    this.at++
    if (sign === '!') {
      const filter = this.#filter(depth + 1)
      this.#take(')')
      return { kind: 'not', filter }
    }
    const filters = [this.#filter(depth + 1)]
    while (this.#text.charAt(this.at) === '(') filters.push(this.#filter(depth + 1))
    this.#take(')')
    return { kind: sign === '&' ? 'and' : 'or', filters }
  }

  #take(sign: string): void {
    if (this.#text.charAt(this.at) !== sign) throw new FilterError(`has no ${sign} where one is due`)
    this.at++
  }

  #item(): LdapFilter {
    ITEM.lastIndex = this.at
    const match = ITEM.exec(this.#text)
    if (match === null) throw new FilterError('has no comparison such as attribute=value here')
    const [, attribute = '', sign = '=', text = ''] = match
    const parts = sign === '=' ? text.split('*').map((part) => this.#value(part)) : [this.#value(text)]
    this.at = ITEM.lastIndex
    const [first = Buffer.alloc(0), ...more] = parts
    if (text === '*' && sign === '=') return { kind: 'present', attribute }
    const final = more.pop()
    if (final === undefined)
      return { kind: COMPARISONS[sign as keyof typeof COMPARISONS] ?? 'equal', attribute, value: first }
    return { kind: 'substrings', attribute, initial: first, any: more.filter((part) => part.length > 0), final }
  }

  /** Two hexadecimal digits stand behind each backslash. */
  #value(text: string): Buffer {
    if (/\\(?![0-9a-fA-F]{2})/.test(text)) throw new FilterError('has a \\ that is not followed by two hex digits')
    const bytes = text
      .split(/(\\[0-9a-fA-F]{2})/)
      .map((part) => (part.startsWith('\\') ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part)))
    return Buffer.concat(bytes)
  }
}
