/** The backends of a service in one data thread: keeps the eligible snapshot and asks the policy. */
import type { ServiceCell } from '../board/index.ts'
import type { Backend } from './backend.ts'
import type { Flow, Policy, PolicyFactory } from './contracts.ts'
import { stateFromNumber, takesNewFlows } from './state.ts'

export class Pool {
  readonly backends: readonly Backend[]
  readonly #cell: ServiceCell
  readonly #policy: Policy
  #epoch = -1
  #eligible = 0
  #unknown = 0

  constructor(backends: readonly Backend[], cell: ServiceCell, factory: PolicyFactory) {
    this.backends = backends
    this.#cell = cell
    this.#policy = factory({ next: () => cell.nextInSequence() & 0x7fff_ffff, random: Math.random })
  }

  /** A backend for a new flow, or undefined when none is eligible (outside `avoid`). */
  pick(flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    this.#refresh()
    return this.#eligible === 0 ? undefined : this.#policy.pick(flow, avoid)
  }

  /** No backend is eligible, but the first probe of some has not ended: flows are held for the start grace. */
  undecided(): boolean {
    this.#refresh()
    return this.#eligible === 0 && this.#unknown > 0
  }

  /** Resolves when a state or weight changed since the last pick, or after `ms`. */
  changed(ms: number): Promise<void> {
    return this.#cell.changed(this.#epoch, ms)
  }

  #refresh(): void {
    const epoch = this.#cell.epoch()
    if (epoch === this.#epoch) return
    // The epoch is read first: a change while we look raises it again, and the next pick looks once more.
    this.#epoch = epoch
    const eligible: Backend[] = []
    this.#unknown = 0
    for (const backend of this.backends) {
      const state = stateFromNumber(backend.cell.state())
      if (state === 'unknown') this.#unknown++
      const weight = backend.cell.weight()
      if (!takesNewFlows(state) || weight === 0) continue
      backend.weight = weight
      eligible.push(backend)
    }
    this.#eligible = eligible.length
    this.#policy.rebuild(eligible)
  }
}
