/** By what the backends themselves report: each gets flows by its weight × the part of it that is idle. */
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'
import { draw, type Urn, urnOf, weightOf } from './urn.ts'

const IDLE_BELOW = 5 // per cent: less is noise of the machine itself
const GOLDEN = 0x9e37_79b9 // 2^32 over the golden ratio: its multiples fill the circle evenly from the first on

/** Weight × idle part; without a report the weight alone. 0: it is full. */
function capacityOf(backend: Backend): number {
  const load = backend.cell.load()
  return load < IDLE_BELOW ? backend.weight : (backend.weight * (100 - load)) / 100
}

/** While every one is full, the weights decide. */
function shares(backends: readonly Backend[]): Urn {
  const urn = urnOf(backends, capacityOf)
  return urn.total > 0 ? urn : urnOf(backends, weightOf)
}

class LeastLoad implements Policy {
  readonly #tools: PolicyTools
  #eligible: readonly Backend[] = []
  #urn: Urn = shares([])
  #turn = 0

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  /** Called with each new report too: control raises the service's epoch. */
  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#urn = shares(eligible)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const { backends, sums, total } =
      avoid === null ? this.#urn : shares(this.#eligible.filter((backend) => !avoid.has(backend)))
    // As with round robin a second try takes no turn of the sequence that all threads share.
    const turn = avoid === null ? this.#tools.next() : this.#turn + 1
    this.#turn = turn
    return backends[draw(sums, ((Math.imul(turn, GOLDEN) >>> 0) / 2 ** 32) * total)]
  }
}

export const leastLoad = (tools: PolicyTools): Policy => new LeastLoad(tools)
