/** What a pool asks of a balancing policy. The pool owns the contract; the policies are in lib/policies. */
import type { Backend } from './backend.ts'

/** What a policy may know of the flow that it places. */
export interface Flow {
  /** The client's address. */
  readonly clientAddress: string
  /** What the service balances by, when it does so by hash; '': the client's address. */
  readonly hashKey: string
}

/** Balances over eligible backends: never asks whether one is available. */
export interface Policy {
  /** The eligible backends changed: each takes new flows and has a weight above 0. */
  rebuild(eligible: readonly Backend[]): void
  /** One of the eligible that is not in `avoid`; undefined only when there is none. */
  pick(flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined
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
