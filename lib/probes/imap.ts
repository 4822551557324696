/** The IMAP probe: the greeting, STARTTLS where it is asked for, and LOGOUT. */
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

/** @throws BalancerError for a CA file that can't be used */
export function createImapProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        const greeting = await backend.line()
        if (/^\* BYE\b/i.test(greeting)) throw new ProbeFailure('status', greeting)
        if (!/^\* (?:OK|PREAUTH)\b/i.test(greeting)) throw new ProbeFailure('protocol', `not IMAP: ${greeting}`)
        if (backend.startsTls) {
          await command(backend, 'k1', 'STARTTLS')
          await backend.secure()
          await command(backend, 'k2', 'NOOP')
        }
        backend.bidFarewell('k3 LOGOUT\r\n')
        return { detail: greeting }
      }),
  }
}

/** Sends a command that must succeed; what else is told meanwhile does not matter. */
async function command(backend: Conversation, tag: string, text: string): Promise<void> {
  backend.write(`${tag} ${text}\r\n`)
  for (;;) {
    const line = await backend.line()
    if (line.startsWith(`${tag} OK`)) return
    if (line.startsWith(`${tag} `) || /^\* BYE\b/i.test(line)) throw new ProbeFailure('status', line)
    if (!line.startsWith('* ')) throw new ProbeFailure('protocol', `not IMAP: ${line}`)
  }
}
