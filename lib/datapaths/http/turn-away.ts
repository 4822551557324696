/** Tells a client whose connection is not taken so, as long as that costs little. */
import type { DeadlineWheel } from '../../core/index.ts'
import type { Denial } from '../gate.ts'
import { newId } from '../ids.ts'
import { Linger } from '../linger.ts'
import type { Wire } from '../wire.ts'
import { reply } from './replies.ts'

const MOST_LINGERING = 64 // of a thread: who comes while so many are being told is reset without a word
let lingering = 0

const TEXTS = {
  service: { status: 503, detail: 'there are too many connections' },
  overload: { status: 503, detail: 'there is too much to do' },
  client: { status: 429, detail: 'there are too many connections from this address' },
} as const

/** Answers 503 or 429 and closes, or resets the connection. */
export function turnAway(wire: Wire, why: Denial, wheel: DeadlineWheel): void {
  if (why === 'descriptors')
    wire.reset() // who is told holds one
  else tellAndClose(wire, { ...TEXTS[why], retryAfter: 2 }, wheel)
}

/** Answers whatever is asked, or resets the connection while too many are being told. */
export function tellAndClose(
  wire: Wire,
  answer: { readonly status: number; readonly detail: string; readonly retryAfter?: number },
  wheel: DeadlineWheel,
): void {
  if (lingering >= MOST_LINGERING) return wire.reset()
  lingering++
  wire.writeText(reply({ ...answer, id: newId(), json: false, close: true, headOnly: false }))
  new Linger(wire, wheel, false, () => {
    lingering--
  })
}
