/** The DNS probe: one question over UDP or TCP, and what its answer must be. */
import { randomInt } from 'node:crypto'
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'
import { converse } from './conversation.ts'
import { ask } from './datagram.ts'
import { type DnsAnswer, decodeAnswer, encodeQuestion } from './dns-message.ts'
import { canonicalIPv6 } from './ipv6.ts'
import type { Security } from './security.ts'

const PLAIN: Security = { mode: 'off', trust: {} }

export function createDnsProbe({ dns }: HealthConfig): Probe {
  const { name = '.', type, transport } = dns
  const judge = judgeOf(dns)
  const newQuestion = (): Buffer => encodeQuestion(randomInt(0x10000), name, type)
  return {
    check: (target, signal) => {
      const question = newQuestion()
      if (transport === 'udp')
        return ask(target, signal, {
          bytes: question,
          judge: (bytes) => {
            const answer = decodeAnswer(question, bytes, type)
            return answer === null ? null : judge(answer)
          },
        })
      return converse(target, signal, PLAIN, async (backend) => {
        backend.write(Buffer.concat([Buffer.of(question.length >> 8, question.length & 255), question]))
        const length = (await backend.bytes(2)).readUInt16BE(0)
        const answer = decodeAnswer(question, await backend.bytes(length), type)
        if (answer === null) throw new ProbeFailure('protocol', 'not an answer to the question')
        return judge(answer)
      })
    },
  }
}

function judgeOf({ codes, type, expect }: HealthConfig['dns']): (answer: DnsAnswer) => ProbeResult {
  const canonical = (text: string): string =>
    type === 'AAAA' ? canonicalIPv6(text) : type === 'TXT' ? text : text.replace(/\.$/, '').toLowerCase()
  const expected = expect === undefined ? undefined : canonical(expect)
  return ({ code, truncated, values }) => {
    if (!codes.some((each) => each === code)) throw new ProbeFailure('status', `${code}, expected ${codes.join(', ')}`)
    if (code !== 'NOERROR') return { detail: code }
    const found = expected === undefined ? values.length > 0 : values.some((value) => canonical(value) === expected)
    if (found) return { detail: `${code}, ${values.length} ${type}` }
    // Cut short, it says at least that the name has records.
    if (truncated && expected === undefined) return { detail: `${code}, cut short` }
    if (truncated) throw new ProbeFailure('body', 'the answer is cut short; write dns.transport: tcp')
    throw new ProbeFailure('body', `${code}, ${values.length} ${type}, without the expected one`)
  }
}
