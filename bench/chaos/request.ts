/** What a client asks, drawn from its seed, and what it makes of the answer. */
import type { Random } from '../../fuzz/random.ts'
import { contentOf, differenceOf } from './content.ts'
import type { Outcome } from './plan.ts'

const ANSWER_SIZES = [0, 1, 200, 1000, 4000, 4000, 16_000, 70_000, 300_000]
const BODY_SIZES = [1, 300, 2000, 16_000, 100_000]
const POSTS_IN_TEN = 3
const PIECES_IN_FOUR = 1

export interface Ask {
  readonly id: string
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly size: number
  /** Of a POST; else empty. */
  readonly body: Buffer
  /** The body goes without its length. */
  readonly pieces: boolean
}

export interface Ending {
  readonly outcome: Outcome
  readonly detail: string
}

export function drawAsk(random: Random, id: string): Ask {
  const size = random.pick(ANSWER_SIZES)
  const post = random.below(10) < POSTS_IN_TEN
  const body = post ? contentOf(`${id}p`, random.pick(BODY_SIZES)) : Buffer.alloc(0)
  const pieces = random.below(4) < PIECES_IN_FOUR
  return { id, path: `/r/${id}/${size}`, method: post ? 'POST' : 'GET', size, body, pieces }
}

/** Of an answer that looks whole. */
export function endingOf({ id, size }: Ask, status: number, body: Buffer): Ending {
  if (status !== 200)
    return { outcome: `${status}`, detail: body.toString('latin1', 0, 60).trim().replaceAll(/\s/g, '_') }
  const expected = contentOf(id, size)
  return expected.equals(body)
    ? { outcome: 'whole', detail: '' }
    : { outcome: 'wrong', detail: differenceOf(expected, body) }
}
