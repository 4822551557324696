/** The less loaded of two backends drawn by weight (Mitzenmacher's power of two choices): no herd, no scan. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'

const load = (backend: Backend): number => backend.cell.active() / backend.weight

/** Backends, and the running sums of their weights to draw by. */
interface Urn {
  readonly backends: readonly Backend[]
  readonly sums: Float64Array
}

function urnOf(backends: readonly Backend[]): Urn {
  const sums = new Float64Array(backends.length)
  let sum = 0
  for (const [i, { weight }] of backends.entries()) {
    sum += weight
    sums[i] = sum
  }
  return { backends, sums }
}

/** The first whose running sum is above `at`, or the last. */
function draw(sums: Float64Array, at: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sums[middle] as number) > at) high = middle
    else low = middle + 1
  }
  return low
}

class RandomTwo implements Policy {
  readonly #tools: PolicyTools
  #urn: Urn = urnOf([])

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#urn = urnOf(eligible)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const { backends, sums } =
      avoid === null ? this.#urn : urnOf(this.#urn.backends.filter((backend) => !avoid.has(backend)))
    if (backends.length < 2) return backends[0]
    const total = sums[sums.length - 1] as number
    const i = draw(sums, this.#tools.random() * total)
    const a = backends[i] as Backend
    // The second one out of the others: what lies behind the first moves up by its weight.
    const at = this.#tools.random() * (total - a.weight)
    const b = backends[draw(sums, at < (sums[i] as number) - a.weight ? at : at + a.weight)] as Backend
    return load(b) < load(a) ? b : a
  }
}

export const randomTwo = (tools: PolicyTools): Policy => new RandomTwo(tools)
