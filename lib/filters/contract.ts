/** What a filter sees of a request and its answer, and what it may do to them. */

/** The fields of a head. Names are compared case-blind; their case, their order and repeated fields are kept. */
export interface FieldList {
  /** The first value. */
  get(name: string): string | undefined
  all(name: string): string[]
  /** One field in place of all with this name, where the first of them stood, else at the end. */
  set(name: string, value: string): void
  add(name: string, value: string): void
  /** Was there one? */
  remove(name: string): boolean
  /** Puts what `change` answers in the place of every value of this name. */
  update(name: string, change: (value: string) => string): void
  entries(): Iterable<readonly [name: string, value: string]>
}

/** Setting what can't go on throws a `RefusedError`, which the chain answers with its status. */
export interface RequestView {
  readonly method: string
  /** Canonical, without query. A path that is set becomes canonical, and is refused with dot segments in it. */
  path: string
  /** With its `?`, or ''. */
  query: string
  /** The canonical path as the client asked for it, whatever `path` has become. */
  readonly originalPath: string
  /** Lower-case, without port and final dot, IPv6 in brackets; '' on HTTP/1.0 without one. */
  readonly host: string
  /** Of the authority, or what its scheme stands for. */
  readonly port: number
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  /** The id of the request, for logs. */
  readonly id: string
  readonly fields: FieldList
}

export interface ResponseView {
  readonly status: number
  readonly fields: FieldList
  readonly request: RequestView
  /** Address and port of the backend that answered, as in `10.0.0.1:80`. */
  readonly backend: string
}

/** An answer in place of the backend's. */
export interface Reply {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** One character per byte, so that its length is the Content-Length. */
  readonly body: string
  /** Not null: the answer is one of the balancer's own and says this; there is no body then. */
  readonly detail: string | null
}

export interface Filter {
  /** A reply ends the request here: no later filter sees it, and no backend. */
  onRequest?(request: RequestView): Reply | undefined
  onResponse?(response: ResponseView): void
}

/** All filters of a service. null where none of them takes part: one comparison on the hot path. */
export interface Chain {
  readonly onRequest: ((request: RequestView) => Reply | undefined) | null
  readonly onResponse: ((response: ResponseView) => void) | null
}
