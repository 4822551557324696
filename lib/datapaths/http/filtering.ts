/** Runs a service's filters over heads as they are about to go on, in either engine. Nothing of it runs without filters. */
import {
  type Chain,
  compile,
  type FieldList,
  type FilterConfig,
  FilterRequest,
  FilterResponse,
  type PathPolicy,
  RefusedError,
  type Reply,
  readAuthority,
  readTarget,
  SAFE_PATHS,
} from '../../filters/index.ts'

/** What is known of a request besides its fields. */
export interface RequestFacts {
  readonly method: string
  /** In origin-form, or `*`; well-formed. */
  readonly target: string
  readonly authority: string
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  readonly id: string
}

/** A request behind its filters. */
export interface Filtered {
  /** What goes on in the request line. */
  readonly target: string
  /** The request goes no further: this is the answer. */
  readonly reply: Reply | null
  /** What the filters of its answer see of it; null where there is no path to see. */
  readonly view: FilterRequest | null
}

export class Filtering {
  readonly #chain: Chain
  readonly #policy: PathPolicy

  private constructor(chain: Chain, policy: PathPolicy) {
    this.#chain = chain
    this.#policy = policy
  }

  /** null where nothing looks at paths: then they go on as they came. */
  static of(filters: readonly FilterConfig[], paths: PathPolicy | undefined, routed: boolean): Filtering | null {
    return filters.length === 0 && paths === undefined && !routed
      ? null
      : new Filtering(compile(filters), paths ?? SAFE_PATHS)
  }

  /** Some filter wants to see answers. */
  get answers(): boolean {
    return this.#chain.onResponse !== null
  }

  /** @param fields that go on; they are changed in place */
  request({ target: line, authority, ...facts }: RequestFacts, fields: FieldList): Filtered {
    const policy = this.#policy
    const target = line === '*' ? { path: '*', query: '' } : readTarget(line, policy)
    if ('status' in target) return { target: line, reply: { ...target, fields: [], body: '' }, view: null }
    const view = new FilterRequest({
      ...facts,
      target,
      authority: readAuthority(authority, facts.scheme),
      fields,
      policy,
    })
    const reply = this.#chain.onRequest?.(view) ?? null
    return { target: view.target, reply, view }
  }

  /** Changes the answer's `fields` in place; false: the filters made something that can't go on. */
  response(status: number, fields: FieldList, request: FilterRequest, backend: string): boolean {
    try {
      this.#chain.onResponse?.(new FilterResponse(status, fields, request, backend))
      return true
    } catch (error) {
      if (error instanceof RefusedError) return false
      throw error
    }
  }
}
