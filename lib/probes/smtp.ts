/** The SMTP probe: the greeting, EHLO, STARTTLS where it is asked for, and QUIT. */
import { isIPv6 } from 'node:net'
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

/** @throws BalancerError for a CA file that can't be used */
export function createSmtpProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        const [greeting = ''] = await replyOf(backend, '220')
        const hello = `EHLO ${health.smtp.helo ?? literal(backend.localAddress)}\r\n`
        backend.write(hello)
        const abilities = await replyOf(backend, '250')
        if (backend.startsTls) {
          if (!abilities.some((line) => /^250[ -]STARTTLS$/i.test(line)))
            throw new ProbeFailure('tls', 'the backend does not offer STARTTLS')
          backend.write('STARTTLS\r\n')
          await replyOf(backend, '220')
          await backend.secure()
          backend.write(hello)
          await replyOf(backend, '250')
        }
        backend.bidFarewell('QUIT\r\n')
        return { detail: greeting }
      }),
  }
}

/** RFC 5321 §4.1.3. */
const literal = (address: string): string => (isIPv6(address) ? `[IPv6:${address}]` : `[${address}]`)

/** @returns the lines of a reply, which has this code */
async function replyOf(backend: Conversation, code: string): Promise<string[]> {
  const lines: string[] = []
  for (;;) {
    const line = await backend.line()
    if (!/^[2-5]\d\d(?:[ -]|$)/.test(line)) throw new ProbeFailure('protocol', `not SMTP: ${line}`)
    lines.push(line)
    if (line.charAt(3) === '-') continue
    if (!line.startsWith(code)) throw new ProbeFailure('status', line)
    return lines
  }
}
