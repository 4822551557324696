/** What control thread and data threads say to each other. State goes over the board; these are the rare rest. */
import type { AccessLogConfig } from '../config/index.ts'
import type { ServiceView } from '../datapaths/index.ts'

/** Given to a data thread when it starts. */
export interface ThreadStart {
  readonly board: SharedArrayBuffer
  readonly bindings: SharedArrayBuffer
  readonly threads: number
  readonly thread: number
  readonly accessLog: AccessLogConfig
  readonly services: readonly ServiceView[]
}

export type ToThread =
  /** Take no new flows; answer `drained` when the last has ended. */
  | { readonly type: 'drain' }
  /** End the flows on one backend. */
  | { readonly type: 'cut'; readonly service: string; readonly backend: string }
  /** End everything and exit. */
  | { readonly type: 'stop' }
  | { readonly type: 'reopen-logs' }
  /** Memory is short, or a flood is over: collect garbage now. */
  | { readonly type: 'collect' }
  /** Throw, as a fault would: for operators and tests who want to see the replacement. */
  | { readonly type: 'die' }

export type FromThread =
  | { readonly type: 'listening' }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'drained' }
  | { readonly type: 'problem'; readonly message: string }
