/** The less loaded of two random backends (Mitzenmacher's power of two choices): no herd, no scan. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'

const load = (backend: Backend): number => (backend.cell.active() + 1) / backend.weight

class RandomTwo implements Policy {
  readonly #tools: PolicyTools
  #eligible: readonly Backend[] = []

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const from = avoid === null ? this.#eligible : this.#eligible.filter((backend) => !avoid.has(backend))
    if (from.length < 2) return from[0]
    const i = Math.floor(this.#tools.random() * from.length)
    const j = (i + 1 + Math.floor(this.#tools.random() * (from.length - 1))) % from.length
    const a = from[i] as Backend
    const b = from[j] as Backend
    return load(b) < load(a) ? b : a
  }
}

export const randomTwo = (tools: PolicyTools): Policy => new RandomTwo(tools)
