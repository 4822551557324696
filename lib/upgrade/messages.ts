/** What two processes say to each other when one comes in the other's place. */
import type { Bequest, Cut, Inheritance } from '../service/index.ts'

/** Both must have the same: raised with each change of what is said here, or of what goes over. */
export const PROTOCOL = 1

/** Names the process before, in the environment of the one that is to come in its place. */
export const ENV_NAME = 'EVENKEEL_PREDECESSOR'

export type ToSuccessor =
  /** Prepare with this. Nothing of it changes any more. */
  | { readonly type: 'inherit'; readonly inheritance: Inheritance }
  /** Let clients in. The state file is yours, and the admin address, at which I was. */
  | { readonly type: 'open'; readonly bequest: Bequest; readonly admin: string }
  /** You serve: I take nobody any more. This is what I still have, and until when it may go on (ms since the epoch). */
  | { readonly type: 'left'; readonly flows: number; readonly deadline: number }

export type FromSuccessor =
  | { readonly type: 'hello'; readonly protocol: number; readonly version: string }
  /** All is prepared. */
  | { readonly type: 'ready' }
  /** Clients are let in. */
  | { readonly type: 'serving' }
  /** It can't be, and I end. */
  | { readonly type: 'failed'; readonly why: string }
  /** The operator wants an end of it: cut what you still have. */
  | { readonly type: 'hurry' }
  /** An operator stops a service or a backend: cut what you still have of it. */
  | { readonly type: 'cut'; readonly cut: Cut }
  | { readonly type: 'reopen-logs' }
