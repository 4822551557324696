/** By what a binding names a backend, whatever its place in the list. */
import type { Bindings, Digest } from '../board/index.ts'
import { formatAddress } from '../core/index.ts'
import type { Backend } from '../pool/index.ts'

/**
 * Its name. Among services that share bindings one host has other ports in each, so there a backend that was given no name
 * (its name is its address) is known by its host.
 */
export function identityOf({ name, host, port }: Pick<Backend, 'name' | 'host' | 'port'>, grouped: boolean): string {
  return grouped && name === formatAddress(host, port) ? host : name
}

/** Backends by the digests of their identities, and back. */
export class Identities {
  readonly #backends = new Map<number, { readonly high: number; readonly backend: Backend }[]>()
  readonly #digests = new Map<Backend, Digest>()

  constructor(bindings: Bindings, backends: readonly Backend[], grouped: boolean) {
    for (const backend of backends) {
      const digest = bindings.digestOf(identityOf(backend, grouped))
      const rows = this.#backends.get(digest.low)
      if (rows === undefined) this.#backends.set(digest.low, [{ high: digest.high, backend }])
      else rows.push({ high: digest.high, backend })
      this.#digests.set(backend, digest)
    }
  }

  /** undefined: it is not in this service (any more). */
  backendOf({ low, high }: Digest): Backend | undefined {
    const rows = this.#backends.get(low)
    if (rows === undefined) return undefined
    for (let i = 0; i < rows.length; i++) if (rows[i]?.high === high) return rows[i]?.backend
    return undefined
  }

  digestOf(backend: Backend): Digest {
    return this.#digests.get(backend) as Digest
  }
}
