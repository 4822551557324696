/** The request and the answer that filters work on. */
import { canonicalPath, type PathPolicy, rewrittenPath } from './canonical.ts'
import type { FieldList, RequestView, ResponseView } from './contract.ts'
import { type Refusal, RefusedError } from './refusal.ts'

export interface Authority {
  /** Lower-case, without port and final dot. */
  readonly host: string
  readonly port: number
}

/** @param text of a well-formed Host or authority, or '' */
export function readAuthority(text: string, scheme: 'http' | 'https'): Authority {
  const colon = text.lastIndexOf(':')
  const ported = colon > text.lastIndexOf(']')
  const port = ported ? Number(text.slice(colon + 1)) : 0
  const host = (ported ? text.slice(0, colon) : text).toLowerCase()
  return {
    host: host.endsWith('.') ? host.slice(0, -1) : host,
    port: port > 0 && port <= 65_535 ? port : defaultPort(scheme),
  }
}

export const defaultPort = (scheme: 'http' | 'https'): number => (scheme === 'https' ? 443 : 80)

/** A name or address that may stand in a URL that we make: no escape, userinfo or other trick. */
export const isHostName = (host: string): boolean =>
  host.length <= 253 && /^(?:[a-z0-9_](?:[a-z0-9._-]*)|\[[0-9a-f:.]+\])$/.test(host)

export interface Target {
  readonly path: string
  readonly query: string
}

/** Path and query of a target in origin-form, the path made canonical, or why it is refused. */
export function readTarget(target: string, policy: PathPolicy): Target | Refusal {
  const mark = target.indexOf('?')
  const path = canonicalPath(mark < 0 ? target : target.slice(0, mark), policy)
  if (typeof path !== 'string') return path
  return { path, query: mark < 0 ? '' : target.slice(mark) }
}

/** What a request is made of; all of it has been read strictly. */
export interface RequestParts {
  readonly method: string
  readonly target: Target
  readonly authority: Authority
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  readonly id: string
  readonly fields: FieldList
  readonly policy: PathPolicy
}

const QUERY = /^(?:\?[\x21\x22\x24-\x7e]*)?$/ // as in a request line: visible ASCII but the fragment's mark

export class FilterRequest implements RequestView {
  readonly method: string
  readonly originalPath: string
  readonly host: string
  readonly port: number
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  readonly id: string
  readonly fields: FieldList
  readonly #policy: PathPolicy
  #path: string
  #query: string

  constructor({ method, target, authority, scheme, clientAddress, id, fields, policy }: RequestParts) {
    this.method = method
    this.originalPath = target.path
    this.host = authority.host
    this.port = authority.port
    this.scheme = scheme
    this.clientAddress = clientAddress
    this.id = id
    this.fields = fields
    this.#policy = policy
    this.#path = target.path
    this.#query = target.query
  }

  get path(): string {
    return this.#path
  }

  set path(path: string) {
    const made = rewrittenPath(path, this.#policy)
    if (typeof made !== 'string') throw new RefusedError(made)
    this.#path = made
  }

  get query(): string {
    return this.#query
  }

  set query(query: string) {
    if (!QUERY.test(query)) throw new RefusedError({ status: 400, detail: 'the query has a character that none has' })
    this.#query = query
  }

  /** What stands in the request line that goes on. */
  get target(): string {
    return this.#path + this.#query
  }
}

export class FilterResponse implements ResponseView {
  readonly status: number
  readonly fields: FieldList
  readonly request: RequestView
  readonly backend: string

  constructor(status: number, fields: FieldList, request: RequestView, backend: string) {
    this.status = status
    this.fields = fields
    this.request = request
    this.backend = backend
  }
}
