/** The process in whose place this one was started: hands over what it has, and goes on when we can't. */
import { BalancerError } from '../core/index.ts'
import type { Cut, Inheritance } from '../service/index.ts'
import { ENV_NAME, type FromSuccessor, PROTOCOL, type ToSuccessor } from './messages.ts'

/** What it still has; it ends with the last of it. */
export interface Left {
  readonly flows: number
  /** ms since the epoch. */
  readonly deadline: number
}

type Opening = Extract<ToSuccessor, { readonly type: 'open' }>

export class Predecessor {
  readonly pid: number
  /** null: it has ended, or told nothing yet. */
  left: Left | null = null
  /** Resolves when it has ended. */
  readonly ended: Promise<void>
  #waiting: ((message: ToSuccessor) => void) | null = null

  private constructor(pid: number) {
    this.pid = pid
    this.ended = new Promise((resolve) => {
      process.once('disconnect', () => {
        this.left = null
        resolve()
      })
    })
    process.on('message', (message) => this.#onMessage(message as ToSuccessor))
  }

  /** null: this process comes in nobody's place. */
  static find(): Predecessor | null {
    const pid = Number(process.env[ENV_NAME] ?? 0)
    delete process.env[ENV_NAME]
    return pid === process.ppid && process.connected ? new Predecessor(pid) : null
  }

  /** @throws BalancerError UPGRADE_FAILED when it has ended */
  async inherit(version: string): Promise<Inheritance> {
    this.#say({ type: 'hello', protocol: PROTOCOL, version })
    const message = await this.#hear('inherit')
    if (message === null) throw new BalancerError('UPGRADE_FAILED', 'the process before has ended')
    return message.inheritance
  }

  /** All is prepared. Resolves when clients are to be let in; with null when it has ended, and nobody else will let them in. */
  ready(): Promise<Opening | null> {
    this.#say({ type: 'ready' })
    return this.#hear('open')
  }

  serving(): void {
    this.#say({ type: 'serving' })
    process.channel?.unref() // it keeps nobody alive
  }

  /** Resolves when it has been told. */
  fail(why: string): Promise<void> {
    return new Promise((resolve) => {
      if (!process.connected) return resolve()
      process.send?.({ type: 'failed', why } satisfies FromSuccessor, () => {
        if (process.connected) process.disconnect() // it would keep us alive
        resolve()
      })
    })
  }

  hurry(): void {
    this.#say({ type: 'hurry' })
  }

  cut(cut: Cut): void {
    this.#say({ type: 'cut', cut })
  }

  reopenLogs(): void {
    this.#say({ type: 'reopen-logs' })
  }

  #say(message: FromSuccessor): void {
    if (process.connected) process.send?.(message, () => {}) // its end is told by itself
  }

  /** null: it has ended. */
  async #hear<T extends ToSuccessor['type']>(type: T): Promise<Extract<ToSuccessor, { readonly type: T }> | null> {
    const heard = new Promise<Extract<ToSuccessor, { readonly type: T }>>((resolve) => {
      this.#waiting = (message) => {
        if (message.type === type) resolve(message as Extract<ToSuccessor, { readonly type: T }>)
      }
    })
    const message = await Promise.race([heard, this.ended.then(() => null)])
    this.#waiting = null
    return message
  }

  #onMessage(message: ToSuccessor): void {
    if (message.type === 'left') this.left = { flows: message.flows, deadline: message.deadline }
    else this.#waiting?.(message)
  }
}
