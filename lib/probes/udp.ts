/** The UDP probe: an answer passes, or, where that is asked for, that nothing refuses. */
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure } from './contract.ts'
import { ask } from './datagram.ts'
import { octetsOf } from './octets.ts'

export function createUdpProbe({ udp: { send = '', expect, quiet } }: HealthConfig): Probe {
  const bytes = octetsOf(send)
  const expected = expect === undefined ? null : octetsOf(expect)
  const judge = (answer: Buffer) => {
    if (expected !== null && !answer.includes(expected))
      throw new ProbeFailure('body', `${answer.length} bytes came, without what is expected`)
    return { detail: `${answer.length} bytes came` }
  }
  return { check: (target, signal) => ask(target, signal, { bytes, judge, quietMs: quiet }) }
}
