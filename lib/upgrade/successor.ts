/** The process that is to come in this one's place: started with our listening sockets, and spoken with until it serves. */
import { type ChildProcess, spawn } from 'node:child_process'
import { BalancerError, codeOf, messageOf } from '../core/index.ts'
import type { Inheritance } from '../service/index.ts'
import { ENV_NAME, type FromSuccessor, type ToSuccessor } from './messages.ts'
import type { Program } from './program.ts'

const FIRST_FD = 4 // behind the standard ones and the channel between us

type Type = FromSuccessor['type']
type Said<T extends Type> = Extract<FromSuccessor, { readonly type: T }>

interface Waiting {
  readonly type: Type
  heard(message: FromSuccessor): void
  failed(error: BalancerError): void
}

export class Successor {
  readonly #child: ChildProcess
  #waiting: Waiting | null = null
  /** Said and not waited for yet. */
  readonly #said: FromSuccessor[] = []
  /** Why nothing more will be said; null: it may. */
  #over: BalancerError | null = null
  #serves = false
  readonly #onWish: (message: FromSuccessor) => void

  /**
   * Starts it with the sockets of `inheritance`, which it knows by the numbers that they have there.
   * @param onWish what it says once it serves
   */
  constructor({ file, args }: Program, descriptors: readonly number[], onWish: (message: FromSuccessor) => void) {
    const { WATCHDOG_PID: _ours, ...env } = process.env // a service manager's word to this process alone
    this.#onWish = onWish
    this.#child = spawn(file, args, {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...descriptors],
      serialization: 'advanced',
      env: { ...env, [ENV_NAME]: String(process.pid) },
    })
    this.#child.on('message', (message) => this.#onMessage(message as FromSuccessor))
    this.#child.on('error', (error) => this.#end(`it can't be started: ${codeOf(error) || messageOf(error)}`))
    this.#child.on('exit', (code, signal) => this.#end(`it ended with ${signal ?? `code ${code}`}; the log tells why`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** @throws BalancerError UPGRADE_FAILED with its own words, or what became of it */
  hear<T extends Type>(type: T): Promise<Said<T>> {
    return new Promise((resolve, reject) => {
      const heard = (message: FromSuccessor): void => resolve(message as Said<T>)
      this.#waiting = { type, heard, failed: reject }
      for (const message of this.#said.splice(0)) this.#onMessage(message)
      if (this.#over !== null) reject(this.#over)
    })
  }

  tell(message: ToSuccessor): void {
    if (this.#child.connected) this.#child.send(message, () => {}) // an end of it is told by itself
  }

  /** It serves: it is nobody's child any more. */
  release(): void {
    this.#serves = true
    this.#child.unref()
    this.#child.channel?.unref()
    for (const message of this.#said.splice(0)) this.#onWish(message)
  }

  /** Ends it, and resolves when it has. */
  async kill(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    this.#child.kill('SIGKILL')
    await ended
  }

  #onMessage(message: FromSuccessor): void {
    if (this.#serves) this.#onWish(message)
    else if (message.type === 'failed') this.#end(message.why)
    else if (message.type === this.#waiting?.type) {
      const { heard } = this.#waiting
      this.#waiting = null
      heard(message)
    } else this.#said.push(message)
  }

  #end(why: string): void {
    this.#over ??= new BalancerError('UPGRADE_FAILED', why)
    this.#waiting?.failed(this.#over)
    this.#waiting = null
  }
}

/** The inheritance with the numbers that its sockets have there, and the descriptors here in that order. */
export function numbered(inheritance: Inheritance): { given: Inheritance; descriptors: number[] } {
  const descriptors: number[] = []
  const sockets = Object.fromEntries(
    Object.entries(inheritance.sockets).map(([address, own]) => [
      address,
      own.map((fd) => FIRST_FD + descriptors.push(fd) - 1),
    ]),
  )
  return { given: { ...inheritance, sockets }, descriptors }
}
