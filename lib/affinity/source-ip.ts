/** `source-ip`: a client is known by its address, or by the network that it is in. */
import type { Flow } from '../pool/index.ts'
import { maskOf, readAddress } from './address.ts'
import { BoundAffinity, KIND } from './bound.ts'
import type { AffinityTools, AffinityView, BuiltAffinity } from './contract.ts'

const words = new Int32Array(4)

export class SourceIpAffinity extends BoundAffinity {
  readonly #mask4: number
  readonly #mask6: readonly number[]

  constructor(view: AffinityView, tools: AffinityTools) {
    super(view, tools)
    this.#mask4 = maskOf(view.prefix4, 0)
    this.#mask6 = [0, 1, 2, 3].map((index) => maskOf(view.prefix6, index))
  }

  protected override know(flow: Flow): boolean {
    const family = readAddress(flow.clientAddress, words)
    if (family === 0) return false
    if (family === 4) this.bindings.words(KIND.ipv4, 0, 0, 0, (words[3] as number) & this.#mask4)
    else {
      const [a, b, c, d] = this.#mask6 as [number, number, number, number]
      this.bindings.words(
        KIND.ipv6,
        (words[0] as number) & a,
        (words[1] as number) & b,
        (words[2] as number) & c,
        (words[3] as number) & d,
      )
    }
    return true
  }
}

export const sourceIp = (view: AffinityView, tools: AffinityTools): BuiltAffinity => ({
  affinity: new SourceIpAffinity(view, tools),
  http: null,
  stream: null,
})
