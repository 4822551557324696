/** Runs a service's filters over heads as they are about to go on: text in, text out. Nothing of it runs without filters. */
import {
  type Chain,
  compile,
  Fields,
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

/** What a filter may ask of a request that its head does not say. */
export interface RequestFacts {
  readonly authority: string
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  readonly id: string
}

/** A request behind its filters. */
export interface Filtered {
  /** The head that goes on. */
  readonly text: string
  /** Host is in the head. */
  readonly hasHost: boolean
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

  /** @param text a whole head in origin-form, well-formed */
  request(text: string, facts: RequestFacts): Filtered {
    const lines = text.split('\r\n')
    const [method = '', line = ''] = (lines[0] ?? '').split(' ')
    const target = line === '*' ? { path: '*', query: '' } : readTarget(line, this.#policy)
    if ('status' in target) return { text, hasHost: false, reply: { ...target, fields: [], body: '' }, view: null }
    const { scheme, clientAddress, id } = facts
    const view = new FilterRequest({
      method,
      target,
      authority: readAuthority(facts.authority, scheme),
      scheme,
      clientAddress,
      id,
      fields: fieldsOf(lines),
      policy: this.#policy,
    })
    const reply = this.#chain.onRequest?.(view) ?? null
    return {
      text: headText(`${method} ${view.target} HTTP/1.1`, view.fields),
      hasHost: view.fields.get('host') !== undefined,
      reply,
      view,
    }
  }

  /** The answer's head behind its filters; null: they made something that can't go on. */
  response(text: string, status: number, request: FilterRequest | null, backend: string): string | null {
    if (this.#chain.onResponse === null || request === null) return text
    const lines = text.split('\r\n')
    const fields = fieldsOf(lines)
    try {
      this.#chain.onResponse(new FilterResponse(status, fields, request, backend))
    } catch (error) {
      if (error instanceof RefusedError) return null
      throw error
    }
    return headText(lines[0] ?? '', fields)
  }
}

function fieldsOf(lines: readonly string[]): Fields {
  const rows: [string, string][] = []
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':')
    if (colon > 0) rows.push([line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')])
  }
  return new Fields(rows)
}

function headText(start: string, fields: FilterRequest['fields']): string {
  let text = `${start}\r\n`
  for (const [name, value] of fields.entries()) text += `${name}: ${value}\r\n`
  return `${text}\r\n`
}
