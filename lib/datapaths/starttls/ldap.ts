/** LDAP (RFC 4511 §4.14): the extended operation StartTLS; every other one needs confidentiality first. */
import { type BerElement, berLengthBytes, decodeBer, encodeBer, encodeBerInteger } from '../../core/index.ts'
import type { PreambleFactory, Step } from './contract.ts'
import { NOTHING } from './lines.ts'

const START_TLS = '1.3.6.1.4.1.1466.20037'
const DISCONNECTION = '1.3.6.1.4.1.1466.20036' // RFC 4511 §4.4.1
const SUCCESS = 0
const PROTOCOL_ERROR = 2
const CONFIDENTIALITY_REQUIRED = 13
const UNAVAILABLE = 52
const EXTENDED_REQUEST = 0x77
const EXTENDED_RESPONSE = 0x78
const UNBIND = 0x42
const ABANDON = 0x50
const MAX_ID = 4 // bytes of a message's number

/** The tag of what answers an operation: bind, search, modify, add, delete, rename, compare, extended. */
const ANSWERS: ReadonlyMap<number, number> = new Map([
  [0x60, 0x61],
  [0x63, 0x65],
  [0x66, 0x67],
  [0x68, 0x69],
  [0x4a, 0x6b],
  [0x6c, 0x6d],
  [0x6e, 0x6f],
  [EXTENDED_REQUEST, EXTENDED_RESPONSE],
])

interface Message {
  readonly used: number
  /** As it was written: it is said back. */
  readonly id: Buffer
  readonly operation: BerElement
}

/** null: it is not whole. undefined: this is not LDAP. */
function messageIn(input: Buffer): Message | null | undefined {
  const first = input[1]
  if (input.length > 0 && input[0] !== 0x30) return undefined
  if (first === undefined) return null
  const more = berLengthBytes(first)
  if (more === undefined) return undefined
  if (input.length < 2 + more) return null
  const start = 2 + more
  const length = more === 0 ? first : input.readUIntBE(2, more)
  if (input.length < start + length) return null
  const [id, operation] = decodeBer(input.subarray(start, start + length)) ?? []
  if (id?.tag !== 0x02 || id.value.length === 0 || id.value.length > MAX_ID || operation === undefined) return undefined
  return { used: start + length, id: id.value, operation }
}

function answer(id: Buffer, tag: number, code: number, said: string, name?: string): Buffer {
  const result = [encodeBerInteger(code, 0x0a), encodeBer(0x04), encodeBer(0x04, said)]
  const more = name === undefined ? [] : [encodeBer(0x8a, name)]
  return encodeBer(0x30, encodeBer(0x02, id), encodeBer(tag, ...result, ...more))
}

const NO_ID = Buffer.from([0])
const notice = (code: number, said: string): Buffer => answer(NO_ID, EXTENDED_RESPONSE, code, said, DISCONNECTION)

function step(input: Buffer): Step | null {
  const message = messageIn(input)
  if (message === null) return null
  if (message === undefined)
    return { used: input.length, reply: notice(PROTOCOL_ERROR, 'this is not LDAP'), next: 'refuse' }
  const { used, id, operation } = message
  if (operation.tag === UNBIND) return { used, reply: NOTHING, next: 'close' }
  if (operation.tag === ABANDON) return { used, reply: NOTHING, next: 'go on' }
  const tag = ANSWERS.get(operation.tag)
  if (tag === undefined) return { used, reply: notice(PROTOCOL_ERROR, 'no such operation'), next: 'refuse' }
  if (tag === EXTENDED_RESPONSE && decodeBer(operation.value)?.[0]?.value.toString('latin1') === START_TLS)
    return { used, reply: answer(id, tag, SUCCESS, ''), next: 'tls' }
  return { used, reply: answer(id, tag, CONFIDENTIALITY_REQUIRED, 'use StartTLS first'), next: 'go on' }
}

export const ldap: PreambleFactory = () => ({
  greeting: NOTHING,
  farewell: notice(UNAVAILABLE, 'closing the connection'),
  hello: null,
  asks: [
    {
      say: encodeBer(0x30, encodeBerInteger(1), encodeBer(EXTENDED_REQUEST, encodeBer(0x80, START_TLS))),
      hear: (input) => {
        const message = messageIn(input)
        if (message === null) return null
        const code = message === undefined ? undefined : decodeBer(message.operation.value)?.[0]
        if (message?.operation.tag !== EXTENDED_RESPONSE || code?.tag !== 0x0a) return 'no answer in LDAP'
        return code.value[0] === SUCCESS ? message.used : `LDAP result ${code.value[0]}`
      },
    },
  ],
  step,
})
