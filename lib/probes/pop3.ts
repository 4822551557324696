/** The POP3 probe: the greeting, STLS where it is asked for, and QUIT. */
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

/** @throws BalancerError for a CA file that can't be used */
export function createPop3Probe(health: HealthConfig): Probe {
  const security = securityOf(health)
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        const greeting = await answerOf(backend)
        if (backend.startsTls) {
          backend.write('STLS\r\n')
          await answerOf(backend)
          await backend.secure()
        }
        backend.bidFarewell('QUIT\r\n')
        return { detail: greeting }
      }),
  }
}

async function answerOf(backend: Conversation): Promise<string> {
  const line = await backend.line()
  if (/^\+OK\b/.test(line)) return line
  throw /^-ERR\b/.test(line) ? new ProbeFailure('status', line) : new ProbeFailure('protocol', `not POP3: ${line}`)
}
