/** What operators have made of a subject, as the API tells it. Times are ISO text, durations milliseconds, here and in its siblings. */
import type { Control, DrainEnd, LastOrder, OperationChange, Operations, Subject } from '../service/index.ts'
import { iso } from './iso.ts'

/** What operators have made of the appliance, a service or a backend. */
export interface OperationsView {
  readonly operations: Operations
  readonly control: Control
  readonly sentence: string
  /** What stands above it and keeps flows from it; '': nothing. */
  readonly overruled: string
  /** Flows under way. */
  readonly flows: number
  readonly drain: {
    readonly id: number
    readonly startedAt: string
    readonly deadline: string
    readonly leftMs: number
    /** Flows when it began. */
    readonly initial: number
    readonly oldestMs: number | null
    /** At the present pace, at the latest the deadline. */
    readonly estimatedEnd: string
  } | null
  /** How the last drain since the start ended. */
  readonly lastDrain: (Omit<DrainEnd, 'at'> & { readonly at: string }) | null
  /** Who changed it last. */
  readonly last: (Omit<LastOrder, 'at'> & { readonly at: string }) | null
}

/** The data of an event `operations`. */
export type OperationEvent = OperationsView & { readonly target: string }

export function operationsView(subject: Subject, overruled: string, now: number): OperationsView {
  const { standing, sentence, flows, drain, lastDrain, last } = subject
  return {
    ...standing,
    sentence: overruled === '' ? sentence : `${sentence}; ${overruled}`,
    overruled,
    flows,
    drain:
      drain === null
        ? null
        : {
            id: drain.id,
            startedAt: iso(drain.startedAt),
            deadline: iso(drain.deadline),
            leftMs: Math.max(0, drain.deadline - now),
            initial: drain.initial,
            oldestMs: drain.oldestMs,
            estimatedEnd: iso(drain.estimatedEnd),
          },
    lastDrain: lastDrain === null ? null : { ...lastDrain, at: iso(lastDrain.at) },
    last: last === null ? null : { ...last, at: iso(last.at) },
  }
}

export const operationEvent = ({ target, subject }: OperationChange): OperationEvent => ({
  target,
  ...operationsView(subject, '', Date.now()),
})
