/** What control thread and data threads say to each other. State goes over the board; these are the rare rest. */
import type { AccessLogConfig } from '../config/index.ts'
import type { ServiceGate, ServiceView, Sockets } from '../datapaths/index.ts'
import type { ChallengesView, TicketSecrets, TlsView } from '../tls/index.ts'

/** Given to a data thread when it starts. */
export interface ThreadStart {
  readonly board: SharedArrayBuffer
  readonly bindings: SharedArrayBuffer
  readonly threads: number
  readonly thread: number
  readonly accessLog: AccessLogConfig
  readonly services: readonly ServiceView[]
  /** Services that don't let everybody in, by name. */
  readonly gates: Readonly<Record<string, ServiceGate>>
  readonly tickets: TicketSecrets
  readonly challenges: ChallengesView
  /** The process comes in the place of another: these sockets are taken over, and nobody is let in before `open`. null: it does not. */
  readonly handed: Sockets | null
}

/** What a data thread is asked and answers with `done`, once it has obeyed. `backend` null: all flows of the service. */
export type Request =
  /** Make all that this view of a service needs, new or changed; nothing of it is in force. */
  | { readonly type: 'prepare'; readonly view: ServiceView; readonly gate: ServiceGate }
  /** What was prepared is in force, at once; these services take no new flows. Can't fail. */
  | { readonly type: 'commit'; readonly removed: readonly string[] }
  /** What was prepared is not wanted. */
  | { readonly type: 'undo' }
  /** The last flow of a removed service has ended. */
  | { readonly type: 'forget'; readonly service: string }
  /** Let clients of a service in, or no longer. */
  | { readonly type: 'admit'; readonly service: string; readonly gate: ServiceGate }
  /** End flows, spread over `spreadMs`. */
  | { readonly type: 'cut'; readonly service: string; readonly backend: string | null; readonly spreadMs: number }
  /** Other certificates for handshakes from now on. */
  | { readonly type: 'secure'; readonly service: string; readonly tls: TlsView }
  /** Other keys for session tickets. */
  | { readonly type: 'tickets'; readonly tickets: TicketSecrets }
  /** What authorities are answered, who ask whether we have a name. */
  | { readonly type: 'challenges'; readonly view: ChallengesView }
  /** Which sockets are listened with? They stay open until `take-back`. */
  | { readonly type: 'lend' }
  /** When did the oldest flow begin? ms since the epoch, null: there is none. */
  | { readonly type: 'oldest'; readonly service: string; readonly backend: string | null }

/** To `oldest` a time, to `lend` sockets, else null. */
export type Answer = number | Sockets | null

export type ToThread =
  /** Take no new flows; answer `drained` when the last has ended. Politely: another process is there for who comes anew. */
  | { readonly type: 'drain'; readonly politely: boolean }
  /** What was got ready listens from now on. */
  | { readonly type: 'open' }
  /** The sockets that were lent are not needed any more. */
  | { readonly type: 'take-back' }
  | (Request & { readonly id: number })
  /** End everything and exit. */
  | { readonly type: 'stop' }
  | { readonly type: 'reopen-logs' }
  /** Memory is short, or a flood is over: collect garbage now. */
  | { readonly type: 'collect' }
  /** Throw, as a fault would: for operators and tests who want to see the replacement. */
  | { readonly type: 'die' }

export type FromThread =
  /** All is ready for `open`. */
  | { readonly type: 'ready' }
  | { readonly type: 'listening' }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'drained' }
  /** The request `id` is done. `failed`: why it could not be. */
  | { readonly type: 'done'; readonly id: number; readonly value: Answer; readonly failed: string | null }
  | { readonly type: 'problem'; readonly message: string }
  /** A line of its log, for control to write. */
  | { readonly type: 'log'; readonly line: string }
