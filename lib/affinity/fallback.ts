/** Two affinities, one behind the other: who is unknown to the first may be known to the second. */
import type { Affinity, Backend, Flow } from '../pool/index.ts'

export class FallbackAffinity implements Affinity {
  readonly #first: Affinity
  readonly #second: Affinity

  constructor(first: Affinity, second: Affinity) {
    this.#first = first
    this.#second = second
  }

  find(flow: Flow): Backend | undefined {
    if (flow.affinityKey === '') return this.#second.find(flow)
    const known = this.#first.find(flow)
    if (known !== undefined) return known
    const backend = this.#second.find(flow)
    // From now on it is known by its key, wherever it comes from.
    return backend === undefined ? undefined : this.#first.bind(flow, backend, undefined)
  }

  /** What the second says counts for the first: some clients have a key that the first can't keep. */
  bind(flow: Flow, backend: Backend, instead: Backend | undefined): Backend {
    const kept = this.#second.bind(flow, backend, instead)
    return flow.affinityKey === '' ? kept : this.#first.bind(flow, kept, instead)
  }
}
