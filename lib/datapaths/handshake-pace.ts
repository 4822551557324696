/**
 * Lets the costly part of handshakes begin one by one, each in a turn of the event loop of its own: flows that are open get theirs in
 * between, however many clients come at once.
 */

import { Line, type Waiting } from '../core/index.ts'

const FEW = 8 // handshakes under way: the work of all of them in one turn is some ms, and not worth a look at what they say

/** Who waits for its turn. */
export interface Paced extends Waiting<Paced> {
  go(): void
}

export class HandshakePace {
  #underWay = 0
  /** One has begun in this turn of the event loop. */
  #spent = false
  readonly #waiting = new Line<Paced>()

  /** A client is there. */
  begin(): void {
    this.#underWay++
  }

  /** Its handshake is over, or will not be. */
  end(paced: Paced): void {
    this.#underWay--
    this.#waiting.delete(paced)
  }

  /** Handshakes are so few that one may begin before its client has said anything. */
  get calm(): boolean {
    return this.#underWay <= FEW && !this.#spent
  }

  /** The client has spoken: `go` is called now, or in its turn. */
  enter(paced: Paced): void {
    if (this.#spent) return this.#waiting.add(paced)
    this.#spend()
    paced.go()
  }

  #spend(): void {
    this.#spent = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#spent = false
    const paced = this.#waiting.next()
    if (paced === null) return
    this.#spend()
    paced.go()
  }
}

/** One for all services of a thread: they share its event loop. */
export const handshakePace = new HandshakePace()
