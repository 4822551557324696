/** Finds the certificates for the name that a client asks for: exact, then wildcard, then the default. */
import type { Credentials } from './credentials.ts'

type Named = Pick<Credentials, 'names' | 'keyType'>

export class NameTable {
  readonly #exact = new Map<string, number[]>()
  /** By what follows the `*`, with its dot. */
  readonly #wildcard = new Map<string, number[]>()
  /** The first certificate, and those for all of its names with a key of another type. */
  readonly default: readonly number[]

  constructor(credentials: readonly Named[]) {
    for (const [i, { names, keyType }] of credentials.entries())
      for (const name of names) {
        const table = name.startsWith('*.') ? this.#wildcard : this.#exact
        const key = name.startsWith('*.') ? name.slice(1) : name
        const found = table.get(key)
        if (found === undefined) table.set(key, [i])
        else if (found.every((other) => credentials[other]?.keyType !== keyType)) found.push(i)
      }
    const [first] = credentials
    const groups = (first?.names ?? []).map(
      (name) => this.#of(name.startsWith('*.') ? `a${name.slice(1)}` : name) ?? [],
    )
    const [group = []] = groups
    this.default = [0, ...group.filter((i) => i !== 0 && groups.every((other) => other.includes(i)))]
  }

  /** Indexes of the certificates, at most one for each type of key; null: none has the name. */
  find(name: string): readonly number[] | null {
    return name === '' ? null : (this.#of(name.toLowerCase()) ?? null)
  }

  /** A wildcard stands for one label (RFC 9525 §6.3). */
  #of(name: string): number[] | undefined {
    const exact = this.#exact.get(name)
    if (exact !== undefined) return exact
    const dot = name.indexOf('.')
    return dot > 0 ? this.#wildcard.get(name.slice(dot)) : undefined
  }
}
