/** The TCP and TLS probes: a connection or handshake passes, or what comes over it. */
import type { HealthConfig } from '../config/index.ts'
import type { Probe } from './contract.ts'
import { converse } from './conversation.ts'
import { knock } from './knock.ts'
import { octetsOf } from './octets.ts'
import { securityOf } from './security.ts'

/** @throws BalancerError for a CA file that can't be used */
export function createTcpProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const { send, expect } = health.tcp
  const question = send === undefined ? null : octetsOf(send)
  const answer = expect === undefined ? null : octetsOf(expect)
  if (security.mode === 'off' && question === null && answer === null) return { check: knock }
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        if (question !== null) backend.write(question)
        if (answer !== null) await backend.until(answer)
        const how = backend.secured ? backend.tlsVersion : 'connected'
        return { detail: answer === null ? how : `${how}, expected text seen` }
      }),
  }
}
