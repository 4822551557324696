/** Which pool a connection goes to by the name that it asks for in its TLS handshake. */
import type { ServiceContext, ServicePool } from '../contract.ts'

interface Leads {
  /** Of its route: the first counts. */
  readonly index: number
  readonly place: ServicePool
}

export class NameRoutes {
  readonly #exact = new Map<string, Leads>()
  /** By what follows the `*`, with its dot. */
  readonly #below = new Map<string, Leads>()
  /** Of the first route for all connections, or the service's own backends; null: there are neither. */
  readonly #rest: Leads | null

  private constructor({ view, pools }: ServiceContext) {
    const [own] = pools
    let rest: Leads | null = own.pool.backends.length > 0 ? { index: view.routes.length, place: own } : null
    for (const [index, { sni, pool }] of view.routes.entries()) {
      const leads = { index, place: pools.find((each) => each.view.name === pool) ?? own }
      if (sni === undefined && (rest === null || index < rest.index)) rest = leads
      for (const name of sni ?? []) {
        const lower = name.toLowerCase()
        const [map, key] = lower.startsWith('*.') ? [this.#below, lower.slice(1)] : [this.#exact, lower]
        if (!map.has(key)) map.set(key, leads)
      }
    }
    this.#rest = rest
  }

  /** null: there are no routes. */
  static of(context: ServiceContext): NameRoutes | null {
    return context.view.routes.length === 0 ? null : new NameRoutes(context)
  }

  /** @param name in lower case; '': there is none. null: nothing is served under it */
  placeFor(name: string): ServicePool | null {
    let best = this.#exact.get(name) ?? null
    if (this.#below.size > 0)
      for (let dot = name.indexOf('.', 1); dot >= 0; dot = name.indexOf('.', dot + 1))
        best = first(best, this.#below.get(name.slice(dot)))
    return first(best, this.#rest)?.place ?? null
  }
}

function first(one: Leads | null, other: Leads | null | undefined): Leads | null {
  if (one === null || !other) return one ?? other ?? null
  return other.index < one.index ? other : one
}
