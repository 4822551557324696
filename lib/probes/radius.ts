/** The RADIUS probe: Status-Server (RFC 5997) or a user's access, each way with a Message-Authenticator (RFC 3579). */
import { createHash, createHmac, randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'
import { ask } from './datagram.ts'

const HEAD = 20 // code, identifier, length, authenticator
const CODE = { request: 1, accept: 2, reject: 3, accounting: 5, challenge: 11, status: 12 } as const
const ATTRIBUTE = { user: 1, password: 2, nasIdentifier: 32, messageAuthenticator: 80 } as const

export function createRadiusProbe({ radius }: HealthConfig): Probe {
  const { secret = '', user, password = '', reject, requireMessageAuthenticator } = radius
  return {
    check: (target, signal) => {
      const authenticator = randomBytes(16)
      const attributes = [
        ...(user === undefined
          ? []
          : [
              attribute(ATTRIBUTE.user, Buffer.from(user)),
              attribute(ATTRIBUTE.password, hidePassword(Buffer.from(password), Buffer.from(secret), authenticator)),
            ]),
        attribute(ATTRIBUTE.nasIdentifier, Buffer.from('evenkeel-probe')),
      ]
      const bytes = encodeRequest(user === undefined ? CODE.status : CODE.request, authenticator, attributes, secret)
      return ask(target, signal, {
        bytes,
        judge: (answer) => {
          const code = verify(answer, bytes, secret, requireMessageAuthenticator)
          return code === null ? null : judge(code, reject)
        },
      })
    },
  }
}

function judge(code: number, reject: 'pass' | 'fail'): ProbeResult {
  if (code === CODE.accept) return { detail: 'Access-Accept' }
  if (code === CODE.accounting) return { detail: 'Accounting-Response' }
  if (code === CODE.reject && reject === 'pass') return { detail: 'Access-Reject' }
  if (code === CODE.reject) throw new ProbeFailure('status', 'Access-Reject')
  if (code === CODE.challenge) throw new ProbeFailure('status', 'Access-Challenge')
  throw new ProbeFailure('protocol', `answer of code ${code}`)
}

const attribute = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.of(type, value.length + 2), value])

function encodeRequest(code: number, authenticator: Buffer, attributes: readonly Buffer[], secret: string): Buffer {
  // First of all attributes, so that no chosen prefix comes before it (CVE-2024-3596).
  const all = Buffer.concat([attribute(ATTRIBUTE.messageAuthenticator, Buffer.alloc(16)), ...attributes])
  const length = HEAD + all.length
  const packet = Buffer.concat([Buffer.of(code, randomInt(256), length >> 8, length & 255), authenticator, all])
  createHmac('md5', secret)
    .update(packet)
    .digest()
    .copy(packet, HEAD + 2)
  return packet
}

/** RFC 2865 §5.2. */
export function hidePassword(password: Buffer, secret: Buffer, authenticator: Buffer): Buffer {
  const padded = Buffer.alloc(Math.max(16, Math.ceil(password.length / 16) * 16))
  password.copy(padded)
  let before = authenticator
  for (let at = 0; at < padded.length; at += 16) {
    const mask = createHash('md5').update(secret).update(before).digest()
    const block = padded.subarray(at, at + 16)
    for (const [i, byte] of mask.entries()) block[i] = (block[i] ?? 0) ^ byte
    before = block
  }
  return padded
}

/**
 * The code of an answer to this request by someone who knows the secret; null for anything else, which is ignored.
 * @throws ProbeFailure for one about access that has no Message-Authenticator: its other digest can be forged
 * (CVE-2024-3596)
 */
function verify(datagram: Buffer, request: Buffer, secret: string, strict: boolean): number | null {
  if (datagram.length < HEAD || datagram[1] !== request[1]) return null
  const length = datagram.readUInt16BE(2)
  if (length < HEAD || length > datagram.length) return null
  const answer = datagram.subarray(0, length)
  const asked = request.subarray(4, HEAD)
  const digest = createHash('md5').update(answer.subarray(0, 4)).update(asked).update(answer.subarray(HEAD))
  if (!timingSafeEqual(digest.update(secret).digest(), answer.subarray(4, HEAD))) return null
  const place = messageAuthenticatorOf(answer)
  if (place === null) return null
  const code = answer[0] ?? 0
  if (place === -1) {
    if (strict && code !== CODE.accounting)
      throw new ProbeFailure('protocol', 'no Message-Authenticator (radius.requireMessageAuthenticator)')
    return code
  }
  const signed = Buffer.from(answer)
  asked.copy(signed, 4)
  signed.fill(0, place, place + 16)
  const expected = createHmac('md5', secret).update(signed).digest()
  return timingSafeEqual(expected, answer.subarray(place, place + 16)) ? code : null
}

/** Where the value of the one Message-Authenticator is; -1: there is none, null: the attributes are malformed. */
function messageAuthenticatorOf(answer: Buffer): number | null {
  let place = -1
  for (let at = HEAD; at < answer.length; ) {
    const size = answer[at + 1] ?? 0
    if (size < 2 || at + size > answer.length) return null
    if (answer[at] === ATTRIBUTE.messageAuthenticator) {
      if (size !== 18 || place !== -1) return null
      place = at + 2
    }
    at += size
  }
  return place
}
