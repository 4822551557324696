/**
 * `rdp-cookie`: a client of the Remote Desktop Protocol is known by what its first packet says: the user's name
 * (`mstshash`), or the routing token (`msts`) with which a connection broker names the host of the session.
 * [MS-RDPBCGR] 2.2.1.1, X.224 Connection Request.
 */
import { isIPv4 } from 'node:net'
import type { Affinity, Backend, Flow } from '../pool/index.ts'
import { KeyedAffinity, KIND } from './bound.ts'
import type { AffinityTools, AffinityView, BuiltAffinity, StreamSide } from './contract.ts'

const TPKT_VERSION = 3
const HEADER_BYTES = 4
const COOKIE_AT = 11 // behind TPKT and the fixed part of X.224
const CONNECTION_REQUEST = 0xe0
const MAX_BYTES = 1024 // a name and a negotiation request take a tenth of it

/** `mstshash=name` or `msts=token`, the name in lower case, as Windows takes it; '': neither; null: more bytes are needed. */
export function rdpKeyIn(bytes: Buffer): string | null {
  if (bytes.length > 0 && bytes[0] !== TPKT_VERSION) return ''
  if (bytes.length < HEADER_BYTES) return null
  const length = bytes.readUInt16BE(2)
  if (length > MAX_BYTES || length <= COOKIE_AT) return ''
  if (bytes.length < length) return null
  if (((bytes[5] as number) & 0xf0) !== CONNECTION_REQUEST) return ''
  const text = bytes.toString('latin1', COOKIE_AT, length)
  const match = /^Cookie: (mstshash|msts)=([\x21-\x7e][\x20-\x7e\x80-\xff]*)\r\n/.exec(text)
  if (match === null) return ''
  const [, kind = '', value = ''] = match
  return kind === 'msts' ? `msts=${value}` : `mstshash=${value.toLowerCase()}`
}

/** The address in a routing token, `IP as a little-endian number . port with its bytes swapped . reserved`; null: none. */
export function addressInToken(token: string): { host: string; port: number } | null {
  const match = /^(\d{1,10})\.(\d{1,5})\.\d{4}$/.exec(token)
  const [ip, port] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || ip > 0xffff_ffff || port > 0xffff) return null
  const host = `${ip & 255}.${(ip >>> 8) & 255}.${(ip >>> 16) & 255}.${ip >>> 24}`
  return isIPv4(host) ? { host, port: ((port & 255) << 8) | (port >>> 8) } : null
}

const isToken = (key: string): boolean => key.startsWith('msts=')

class RdpAffinity extends KeyedAffinity implements Affinity, StreamSide {
  readonly #backends: readonly Backend[]

  constructor(view: AffinityView, tools: AffinityTools) {
    super(KIND.rdp, view, tools)
    this.#backends = tools.backends
  }

  override find(flow: Flow): Backend | undefined {
    if (!isToken(flow.affinityKey)) return super.find(flow)
    const address = addressInToken(flow.affinityKey.slice('msts='.length))
    if (address === null) return undefined
    return this.#backends.find(({ host, port }) => host === address.host && port === address.port)
  }

  /** A token is the broker's word, so there is nothing to keep of it. */
  override bind(flow: Flow, backend: Backend, instead: Backend | undefined): Backend {
    return isToken(flow.affinityKey) ? backend : super.bind(flow, backend, instead)
  }

  keyIn(bytes: Buffer): string | null {
    return rdpKeyIn(bytes)
  }
  watch(): null {
    return null
  }
}

export function rdpCookie(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  const affinity = new RdpAffinity(view, tools)
  return { affinity, http: null, stream: affinity }
}
