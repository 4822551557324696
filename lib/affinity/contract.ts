/** What an affinity is made of, and what it asks of those who read clients' bytes. */
import type { BindingTable } from '../board/index.ts'
import type { Affinity, Backend } from '../pool/index.ts'

export type AffinityType = 'source-ip' | 'header' | 'cookie' | 'tls-session' | 'rdp-cookie'

/** What control decided of a service's affinity, plain data. */
export interface AffinityView {
  readonly type: AffinityType
  /** Of the cookie or header; '' for the others. */
  readonly name: string
  readonly mode: 'insert' | 'existing'
  /** For clients of whom the type knows nothing. */
  readonly fallback: 'none' | 'source-ip'
  readonly prefix4: number
  readonly prefix6: number
  /** ms since the last use. */
  readonly timeout: number
  /** ms; null: no limit. */
  readonly maxIdle: number | null
  readonly maxLife: number | null
  /** Who shares bindings: a service alone, or a group; `number` is only counted by. */
  readonly scope: { readonly name: string; readonly number: number }
  /** In a group backends are known by their names or hosts, else by their names. */
  readonly grouped: boolean
  /** Signs cookies; null: none are made. */
  readonly cookieKey: Uint8Array | null
}

export interface AffinityTools {
  readonly backends: readonly Backend[]
  readonly table: BindingTable
  readonly thread: number
  /** Clients come over TLS. */
  readonly secure: boolean
  /** A binding gave way before its time. */
  readonly onEvicted: () => void
  /** ms of the clock that all threads share. */
  now(): number
  /** ms since the epoch. */
  wall(): number
}

/** What an affinity reads of requests and adds to answers. */
export interface HttpSide {
  /** The field that holds the key, in lower case. */
  readonly field: string
  /** The key in a value of that field; '': none. */
  keyIn(value: string): string
  /** The field goes on without what is ours. */
  readonly hides: boolean
  /** What goes on of a value of the field; null: nothing. */
  forwarded(value: string): string | null
  /** It wants to see the Set-Cookie fields of answers. */
  readonly learns: boolean
  learn(setCookie: string, backend: Backend): void
  /** The Set-Cookie that the answer of `backend` to a request with this key gets; '': none. */
  mark(key: string, backend: Backend): string
}

/** What an affinity reads of a connection's first bytes. */
export interface StreamSide {
  /** The key; '': there is none; null: more bytes are needed. */
  keyIn(bytes: Buffer): string | null
  /** Sees what the backend sends, until it has seen enough. null: no need. */
  watch(backend: Backend, key: string): StreamWatch | null
}

export interface StreamWatch {
  /** False: it has seen enough. */
  push(bytes: Buffer, length: number): boolean
}

/** An affinity, and where it is fed from: null where it needs nothing. */
export interface BuiltAffinity {
  readonly affinity: Affinity
  readonly http: HttpSide | null
  readonly stream: StreamSide | null
}
