/** Ends the flow of a wire for an error that nobody expected, met outside of what the wire tells: by a timer. */
import { FAULT, fault, formatAddress } from '../core/index.ts'
import type { Wire } from './wire.ts'

export function breakWire(wire: Wire, error: unknown): void {
  fault(error, formatAddress(wire.remoteAddress, wire.remotePort))
  const { sink } = wire // who listens no more is not told
  wire.reset()
  sink.onClose(FAULT)
}
