/** The LDAP probe: StartTLS and a simple bind where they are asked for, then a search that finds an entry. */
import { type HealthConfig, type LdapFilter, parseLdapFilter } from '../config/index.ts'
import {
  BalancerError,
  type BerElement,
  berLengthBytes,
  decodeBer,
  encodeBer,
  encodeBerInteger,
} from '../core/index.ts'

import { type Probe, ProbeFailure, withoutSecret } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

const START_TLS = '1.3.6.1.4.1.1466.20037' // RFC 4511 §4.14.1
const UNBIND = Buffer.from([0x30, 5, 2, 1, 100, 0x42, 0])
const SCOPES = { base: 0, one: 1, sub: 2 } as const
const SIZE_LIMIT_EXCEEDED = 4 // of one entry, which is all that is asked for

/** Operations of the protocol by their tags. */
const OP = { bind: 0x60, bound: 0x61, search: 0x63, entry: 0x64, done: 0x65, reference: 0x73, extend: 0x77 } as const
const EXTENDED = 0x78

const RESULTS: Readonly<Record<number, string>> = {
  1: 'operations error',
  2: 'protocol error',
  8: 'stronger authentication required',
  10: 'referral',
  13: 'confidentiality required',
  32: 'no such object',
  34: 'invalid DN syntax',
  48: 'inappropriate authentication',
  49: 'invalid credentials',
  50: 'insufficient access rights',
  51: 'busy',
  52: 'unavailable',
  53: 'unwilling to perform',
}

/** @throws BalancerError for a CA file that can't be used */
export function createLdapProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const { bindDn, password = '', baseDn, scope, filter } = health.ldap
  const parsed = parseLdapFilter(filter)
  if (typeof parsed === 'string') throw new BalancerError('CONFIG_INVALID', `health.ldap.filter ${parsed}`)
  const searchBody = encodeBer(
    OP.search,
    encodeBer(0x04, baseDn),
    encodeBerInteger(SCOPES[scope], 0x0a),
    encodeBerInteger(0, 0x0a), // aliases are not followed
    encodeBerInteger(1), // entries at most
    encodeBerInteger(0), // seconds: the probe has its own limit
    Buffer.of(0x01, 1, 0xff), // types of attributes only
    encodeFilter(parsed),
    encodeBer(0x30, encodeBer(0x04, '1.1')), // and of those none, RFC 4511 §4.5.1.8
  )
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        let id = 0
        const send = (operation: Buffer): number => {
          backend.write(encodeBer(0x30, encodeBerInteger(++id), operation))
          return id
        }
        const result = async (sent: number, tag: number): Promise<void> => {
          const message = await messageOf(backend, sent)
          if (message.tag !== tag) throw notLdap()
          const code = codeOf(message)
          if (code !== 0) throw refusal(code, message, password)
        }
        if (backend.startsTls) {
          await result(send(encodeBer(OP.extend, encodeBer(0x80, START_TLS))), EXTENDED)
          await backend.secure()
        }
        if (bindDn !== undefined)
          await result(
            send(encodeBer(OP.bind, encodeBerInteger(3), encodeBer(0x04, bindDn), encodeBer(0x80, password))),
            OP.bound,
          )
        const entries = await search(backend, send(searchBody), password)
        if (entries === 0) throw new ProbeFailure('body', 'the search found no entry')
        backend.bidFarewell(UNBIND)
        return { detail: `${bindDn === undefined ? '' : 'bound, '}entry found` }
      }),
  }
}

/** @returns how many entries came */
async function search(backend: Conversation, id: number, secret: string): Promise<number> {
  let entries = 0
  for (;;) {
    const message = await messageOf(backend, id)
    if (message.tag === OP.entry) entries++
    else if (message.tag === OP.done) {
      const code = codeOf(message)
      if (code === 0 || (code === SIZE_LIMIT_EXCEEDED && entries > 0)) return entries
      throw refusal(code, message, secret)
    } else if (message.tag !== OP.reference) throw notLdap()
  }
}

/** The operation of the next message, which must answer the one with this id. */
async function messageOf(backend: Conversation, id: number): Promise<BerElement> {
  const head = await backend.bytes(2)
  const first = head[1] ?? 0
  const more = berLengthBytes(first)
  if (head[0] !== 0x30 || more === undefined) throw notLdap()
  const length = more === 0 ? first : (await backend.bytes(more)).readUIntBE(0, more)
  const [number, operation] = decodeBer(await backend.bytes(length)) ?? []
  if (number?.tag !== 0x02 || operation === undefined) throw notLdap()
  const answers = number.value.length === 1 ? number.value[0] : -1
  // RFC 4511 §4.4.1: a notice that the connection is about to end.
  if (answers === 0 && operation.tag === EXTENDED) throw refusal(codeOf(operation), operation, undefined)
  if (answers !== id) throw notLdap()
  return operation
}

const codeOf = ({ value }: BerElement): number => {
  const [code] = decodeBer(value) ?? []
  if (code?.tag !== 0x0a || code.value.length !== 1) throw notLdap()
  return code.value[0] ?? 0
}

function refusal(code: number, { value }: BerElement, secret: string | undefined): ProbeFailure {
  const said = withoutSecret(decodeBer(value)?.[2]?.value.toString() ?? '', secret)
  return new ProbeFailure('status', `${RESULTS[code] ?? 'result'} (${code})${said === '' ? '' : `: ${said}`}`)
}

const notLdap = (): ProbeFailure => new ProbeFailure('protocol', 'not an answer in LDAP')

function encodeFilter(filter: LdapFilter): Buffer {
  switch (filter.kind) {
    case 'and':
      return encodeBer(0xa0, ...filter.filters.map(encodeFilter))
    case 'or':
      return encodeBer(0xa1, ...filter.filters.map(encodeFilter))
    case 'not':
      return encodeBer(0xa2, encodeFilter(filter.filter))
    case 'present':
      return encodeBer(0x87, filter.attribute)
    case 'substrings': {
      const { initial, any, final } = filter
      const parts = [
        ...(initial.length > 0 ? [encodeBer(0x80, initial)] : []),
        ...any.map((part) => encodeBer(0x81, part)),
        ...(final.length > 0 ? [encodeBer(0x82, final)] : []),
      ]
      return encodeBer(0xa4, encodeBer(0x04, filter.attribute), encodeBer(0x30, ...parts))
    }
    default:
      return encodeBer(COMPARISONS[filter.kind], encodeBer(0x04, filter.attribute), encodeBer(0x04, filter.value))
  }
}

const COMPARISONS = { equal: 0xa3, greater: 0xa5, less: 0xa6, approximately: 0xa8 } as const
