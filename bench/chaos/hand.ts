/** The processes around the balancer: backends, relays, clients, recorder. All end with this one. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { within } from '../../test/support/eventually.ts'

const START_MS = 20_000

/** A process of ours that says `listening` when it is ready. */
export class Hand {
  readonly name: string
  readonly child: ChildProcess
  readonly #exited: Promise<unknown>

  private constructor(name: string, child: ChildProcess) {
    this.name = name
    this.child = child
    this.#exited = once(child, 'exit')
  }

  static async start(name: string, file: string, args: readonly string[]): Promise<Hand> {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    child.on('error', () => undefined) // told to one that has just been killed
    const hand = new Hand(name, child)
    const early = hand.#exited.then(() =>
      Promise.reject(new Error(`${name} ended by itself with ${child.signalCode ?? child.exitCode}`)),
    )
    await within(Promise.race([once(child, 'message'), early]), `the start of ${name}`, START_MS)
    early.catch(() => undefined)
    return hand
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  tell(message: unknown): void {
    if (this.child.connected) this.child.send(message as object)
  }

  /** What it answers next. */
  async ask<T>(message: unknown, deadline: number): Promise<T> {
    const answer = once(this.child, 'message')
    this.tell(message)
    const [value] = await within(answer, `an answer of ${this.name}`, deadline)
    return value as T
  }

  async exited(deadline: number): Promise<void> {
    await within(this.#exited, `the end of ${this.name}`, deadline)
  }

  async kill(): Promise<void> {
    if (this.ended) return
    this.child.kill('SIGKILL')
    await this.#exited
  }
}
