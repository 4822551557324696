/** What the bench asks of a load balancer under test. */
import type { Processes, Started } from '../processes.ts'
import type { Listener } from '../scenarios.ts'

export interface Setup {
  readonly processes: Processes
  /** An empty folder of its own. */
  readonly folder: string
  /** Ports of the backends on 127.0.0.1. */
  readonly backends: readonly number[]
  /** What its TLS listener serves. */
  readonly certificate: Certificate
  readonly signal: AbortSignal
}

/** Files in PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
  /** Both in one. */
  readonly bundle: string
}

/** A balancer that is ready. */
export interface Running {
  readonly process: Started
  /** `address:port` of each listener that it has. */
  readonly listeners: Readonly<Partial<Record<Listener, string>>>
  /** `address:port` where it speaks HTTP/2 in the clear, where it does. */
  readonly h2c?: string
}

export interface Peer {
  readonly name: string
  /** Its version, or why it can't take part. */
  find(): { readonly version: string } | { readonly missing: string }
  /** Why it takes no part in the scenarios of a listener; undefined where it does. */
  without(listener: Listener): string | undefined
  start(setup: Setup): Promise<Running>
}
