/** What an attack of the siege is, and what it finds. */
import type { Processes } from '../processes.ts'
import type { Rival } from './rival.ts'
import type { Target } from './target.ts'

export interface Finding {
  readonly what: string
  readonly seen: string
  /** What was promised; undefined for a figure that is only told. */
  readonly promise?: string
  readonly kept: boolean
}

export interface Siege {
  readonly processes: Processes
  readonly target: Target
  /** Another balancer, which floods are aimed at too; null: none. */
  readonly rival: Rival | null
  /** Slow clients at a time. */
  readonly connections: number
  /** How long the malformed requests come. */
  readonly seconds: number
  /** Aborts in each direction. */
  readonly aborts: number
  readonly signal: AbortSignal
  readonly note: (line: string) => void
}

export interface Attack {
  readonly name: string
  readonly about: string
  /** Why it can't take place; undefined where it can. */
  missing(): string | undefined
  run(siege: Siege): Promise<Finding[]>
}

/** A figure without a promise. */
export const told = (what: string, seen: string): Finding => ({ what, seen, kept: true })

export const promised = (what: string, seen: string, promise: string, kept: boolean): Finding => ({
  what,
  seen,
  promise,
  kept,
})
