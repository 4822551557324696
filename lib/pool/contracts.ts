/** What a pool asks of a policy and of an affinity. The pool owns the contracts; lib/policies and lib/affinity keep them. */
import type { Backend } from './backend.ts'

/** What a policy may know of the flow that it places. */
export interface Flow {
  /** The client's address. */
  readonly clientAddress: string
  /** What the service balances by, when it does so by hash; '': the client's address. */
  readonly hashKey: string
  /** By what the client is known besides: a cookie, a field's value, a session's id; '': nothing. */
  readonly affinityKey: string
}

/** Balances over eligible backends: never asks whether one is available. */
export interface Policy {
  /** The eligible backends changed: each takes new flows and has a weight above 0. */
  rebuild(eligible: readonly Backend[]): void
  /** One of the eligible that is not in `avoid`; undefined only when there is none. */
  pick(flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined
}

/** Keeps clients on their backends. Whether a backend may serve is the pool's to say. */
export interface Affinity {
  /** The backend that the flow's client is kept on; undefined: none is known. */
  find(flow: Flow): Backend | undefined
  /**
   * Keeps the flow's client on `backend` from now on, in the place of `instead` (undefined: it was not bound).
   * Answers whom it is bound to now: another thread may have been faster.
   */
  bind(flow: Flow, backend: Backend, instead: Backend | undefined): Backend
}

/** What a policy may use of the world. */
export interface PolicyTools {
  /** The next number of a sequence that all data threads share, 0..2^31-1. */
  next(): number
  /** 0 <= n < 1 */
  random(): number
  /** Milliseconds of the clock that all threads share. */
  now(): number
}

export type PolicyFactory = (tools: PolicyTools) => Policy
