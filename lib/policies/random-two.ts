/** The less loaded of two backends drawn by weight (Mitzenmacher's power of two choices): no herd, no scan. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'
import { draw, type Urn, urnOf, weightOf } from './urn.ts'

const load = (backend: Backend): number => backend.cell.active() / backend.weight

class RandomTwo implements Policy {
  readonly #tools: PolicyTools
  #urn: Urn = urnOf([], weightOf)

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#urn = urnOf(eligible, weightOf)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const { backends, sums, total } =
      avoid === null
        ? this.#urn
        : urnOf(
            this.#urn.backends.filter((backend) => !avoid.has(backend)),
            weightOf,
          )
    if (backends.length < 2) return backends[0]
    const i = draw(sums, this.#tools.random() * total)
    const a = backends[i] as Backend
    // The second one out of the others: what lies behind the first moves up by its weight.
    const at = this.#tools.random() * (total - a.weight)
    const b = backends[draw(sums, at < (sums[i] as number) - a.weight ? at : at + a.weight)] as Backend
    return load(b) < load(a) ? b : a
  }
}

export const randomTwo = (tools: PolicyTools): Policy => new RandomTwo(tools)
