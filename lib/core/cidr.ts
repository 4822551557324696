/** Sets of IP addresses, given as CIDR blocks. */
import { BlockList, isIPv6 } from 'node:net'

export class AddressSet {
  readonly #blocks: BlockList | null

  /** @param cidrs valid blocks or single addresses: `10.0.0.0/8`, `2001:db8::1` */
  constructor(cidrs: readonly string[]) {
    this.#blocks = cidrs.length === 0 ? null : new BlockList()
    for (const cidr of cidrs) {
      const [address = '', bits] = cidr.split('/')
      const kind = kindOf(address)
      this.#blocks?.addSubnet(address, bits === undefined ? (kind === 'ipv6' ? 128 : 32) : Number(bits), kind)
    }
  }

  has(address: string): boolean {
    return this.#blocks?.check(address, kindOf(address)) ?? false
  }
}

const kindOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')
