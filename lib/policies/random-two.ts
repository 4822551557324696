/** The less loaded of two backends drawn by weight (Mitzenmacher's power of two choices): no herd, no scan. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'
import { draw, type Urn, urnOf, weightOf } from './urn.ts'

const load = (backend: Backend): number => backend.cell.active() / backend.weight

/** The first where they are alike. */
const lesser = (a: Backend, b: Backend): Backend => (load(b) < load(a) ? b : a)

class RandomTwo implements Policy {
  readonly #tools: PolicyTools
  #urn: Urn = urnOf([], weightOf)
  /** All weights are the same: nothing need be looked up. */
  #level = true

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#urn = urnOf(eligible, weightOf)
    this.#level = eligible.every(({ weight }) => weight === eligible[0]?.weight)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const { backends, sums, total } =
      avoid === null
        ? this.#urn
        : urnOf(
            this.#urn.backends.filter((backend) => !avoid.has(backend)),
            weightOf,
          )
    const n = backends.length
    if (n < 2) return backends[0]
    if (this.#level) {
      const first = Math.floor(this.#tools.random() * n)
      const other = Math.floor(this.#tools.random() * (n - 1))
      return lesser(backends[first] as Backend, backends[other < first ? other : other + 1] as Backend)
    }
    const i = draw(sums, this.#tools.random() * total)
    const a = backends[i] as Backend
    // The second one out of the others: what lies behind the first moves up by its weight.
    const at = this.#tools.random() * (total - a.weight)
    const b = backends[draw(sums, at < (sums[i] as number) - a.weight ? at : at + a.weight)] as Backend
    return lesser(a, b)
  }
}

export const randomTwo = (tools: PolicyTools): Policy => new RandomTwo(tools)
