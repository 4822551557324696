/** A client's words before TLS, on its plain connection: answered here, bounded, and none of them outlives the handshake. */
import type { Socket } from 'node:net'
import type { Preamble } from './contract.ts'

const MAX_INPUT = 4096 // bytes of commands that are not answered yet; the longest honest one is below 1 KiB
const MAX_COMMANDS = 32 // a client needs three

/** Hears once how it ended. */
export interface WordsTaker {
  /** The handshake comes next; the socket is paused. */
  onTls(): void
  /** It did not come to that; `reply` is the last word to the client. `refused`: it is the client's fault. */
  onOver(reply: Buffer, refused: boolean): void
  /** The client sends no more. */
  onLeft(): void
}

export class Words {
  readonly #socket: Socket
  readonly #preamble: Preamble
  readonly #taker: WordsTaker
  #input: Buffer = Buffer.alloc(0)
  #commands = 0

  constructor(socket: Socket, preamble: Preamble, taker: WordsTaker) {
    this.#socket = socket
    this.#preamble = preamble
    this.#taker = taker
  }

  start(): void {
    const { greeting } = this.#preamble
    if (greeting.length > 0) this.#socket.write(greeting)
    this.#socket.on('data', this.#onData).on('end', this.#onEnd).resume()
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes])
    for (let step = this.#step(); step !== null; step = this.#step()) {
      const { reply, next } = step
      this.#input = this.#input.subarray(step.used)
      if (next === 'close' || next === 'refuse') return this.#over(reply, next === 'refuse')
      if (next === 'tls') return this.#secure(reply)
      if (++this.#commands > MAX_COMMANDS) return this.#over(this.#preamble.farewell, true)
      if (reply.length > 0) this.#socket.write(reply)
    }
    if (this.#input.length > MAX_INPUT) this.#over(this.#preamble.farewell, true)
  }

  #step() {
    return this.#input.length === 0 ? null : this.#preamble.step(this.#input)
  }

  readonly #onEnd = (): void => {
    this.#stop()
    this.#taker.onLeft()
  }

  /**
   * What came behind the command was said in the clear, by whoever is on the way, and would count as said under TLS
   * (CVE-2011-0411). A client waits for our answer: this one is not to be trusted.
   */
  #secure(reply: Buffer): void {
    if (this.#input.length > 0) return this.#over(this.#preamble.farewell, true)
    this.#stop()
    this.#socket.write(reply, (error) => {
      if (!error) this.#taker.onTls() // else its close is told
    })
  }

  #over(reply: Buffer, refused: boolean): void {
    this.#stop()
    this.#taker.onOver(reply, refused)
  }

  #stop(): void {
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).pause()
  }
}
