/** Smooth weighted round robin, exact over all data threads: (5,1,1) gives a a b a c a a. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'

const UNIT = 100 // weights have steps of a hundredth
const MAX_TURNS = 1 << 20 // of a schedule; beyond that shares are rounded
const MAX_STEPS = 4_000_000 // backends × schedule length that is laid out smoothly in a few ms

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/**
 * One turn of nginx's smooth weighted round robin: each step raises every backend by its weight, takes the highest and
 * lowers it by the sum. A turn is as long as the sum of the weights over their common divisor.
 */
export function smoothSchedule(weights: readonly number[]): Uint16Array {
  const steps = stepsOf(weights.map((weight) => Math.round(weight * UNIT)))
  const length = steps.reduce((sum, step) => sum + step, 0)
  const schedule = new Uint16Array(length)
  if (length * steps.length > MAX_STEPS) return spreadSchedule(steps, schedule)
  const current = new Float64Array(steps.length)
  for (let turn = 0; turn < length; turn++) {
    let best = 0
    for (let i = 0; i < steps.length; i++) {
      current[i] = (current[i] as number) + (steps[i] as number)
      if ((current[i] as number) > (current[best] as number)) best = i
    }
    current[best] = (current[best] as number) - length
    schedule[turn] = best
  }
  return schedule
}

/** In lowest terms. */
function stepsOf(units: readonly number[]): number[] {
  const divisor = units.reduce(gcd, 0) || 1
  const sum = units.reduce((total, n) => total + n, 0) / divisor
  const scale = sum > MAX_TURNS ? MAX_TURNS / sum : 1
  return units.map((n) => Math.max(1, Math.round((n / divisor) * scale)))
}

/** The same shares for very large pools, each backend's turns spread evenly: O(length), by a counting sort. */
function spreadSchedule(steps: readonly number[], schedule: Uint16Array): Uint16Array {
  const { length } = schedule
  const from = new Uint32Array(length + 1) // first turn of each bucket; a bucket is where a turn would like to be
  const bucketOf = (index: number, step: number, k: number): number =>
    Math.floor(((k + (index + 0.5) / steps.length) / step) * length)
  for (const [index, step] of steps.entries())
    for (let k = 0; k < step; k++) {
      const at = bucketOf(index, step, k) + 1
      from[at] = (from[at] as number) + 1
    }
  for (let i = 1; i <= length; i++) from[i] = (from[i] as number) + (from[i - 1] as number)
  for (const [index, step] of steps.entries())
    for (let k = 0; k < step; k++) {
      const bucket = bucketOf(index, step, k)
      schedule[from[bucket] as number] = index
      from[bucket] = (from[bucket] as number) + 1
    }
  return schedule
}

class RoundRobin implements Policy {
  readonly #tools: PolicyTools
  #eligible: readonly Backend[] = []
  #schedule: Uint16Array = new Uint16Array(0)
  #turn = 0

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#schedule = smoothSchedule(eligible.map((backend) => backend.weight))
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const schedule = this.#schedule
    // The sequence is shared and every thread lays out the same schedule, so the turns are exact over all threads.
    // A second try takes no turn of the sequence: else, of two backends, each flow would meet the one that refuses first.
    const turn = avoid === null ? this.#tools.next() : this.#turn + 1
    this.#turn = turn
    for (let i = 0; i < schedule.length; i++) {
      const backend = this.#eligible[schedule[(turn + i) % schedule.length] as number]
      if (backend !== undefined && (avoid === null || !avoid.has(backend))) return backend
    }
    return undefined
  }
}

export const roundRobin = (tools: PolicyTools): Policy => new RoundRobin(tools)
