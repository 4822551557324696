/** The data threads together: starts them, tells all of them, asks all of them, and drains them. */
import { BalancerError } from '../core/index.ts'
import type { Sockets } from '../datapaths/index.ts'
import { DataThread, type DataThreadOptions, type Reply, type ThreadStatus } from './data-thread.ts'
import type { Request, ToThread } from './messages.ts'

const LOOK_MS = 250 // how often each thread's beats are looked at
const ALONE_MS = 60_000 // without any thread: then something is wrong that a new thread does not mend

export class Threads {
  readonly #options: DataThreadOptions
  #all: readonly DataThread[] = []
  #stopping = false
  #requests = 0
  #listening: Promise<unknown> = Promise.resolve()
  #watch: NodeJS.Timeout | null = null
  /** When it was last seen that a thread runs. */
  #servedAt = 0
  #stuck = false

  constructor(options: DataThreadOptions) {
    this.#options = options
  }

  /**
   * Starts all; rejects with LISTEN_FAILED or TLS_CERTIFICATE when one can't, and then none runs.
   * @param handed what each listens with, as another process did; then all are only got ready, and listen with `open`
   */
  async start(handed: readonly Sockets[] | null): Promise<void> {
    const { board, clock } = this.#options
    this.#all = Array.from({ length: board.threads }, (_, thread) => new DataThread(thread, this.#options))
    const started = this.#all.map((each) => each.start(handed?.[each.thread] ?? null))
    this.#listening = Promise.all(started)
    this.#listening.catch(() => {}) // told by `open`, or below
    const ready = handed === null ? started : started.map((each, i) => Promise.race([each, this.#all[i]?.prepared]))
    const results = await Promise.allSettled(ready)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) {
      this.#servedAt = clock.now()
      this.#watch = setInterval(() => this.#look(), LOOK_MS)
      return
    }
    await this.stop()
    throw failed.reason
  }

  /** Listens with what was handed over. @throws BalancerError LISTEN_FAILED */
  async open(): Promise<void> {
    this.broadcast({ type: 'open' })
    await this.#listening
  }

  /**
   * The sockets that all threads listen with, which stay open until `take-back` is broadcast.
   * @throws BalancerError THREAD_DIED when a thread does not tell
   */
  async lend(): Promise<Sockets> {
    const all: Record<string, number[]> = {}
    for (const { value } of await this.#askAll({ type: 'lend' })) {
      if (value === null || typeof value === 'number')
        throw new BalancerError('THREAD_DIED', 'a data thread does not tell what it listens with')
      for (const [address, descriptors] of Object.entries(value))
        all[address] = [...(all[address] ?? []), ...descriptors]
    }
    return all
  }

  /** One row per thread. */
  status(): ThreadStatus[] {
    return this.#all.map(({ status }) => status)
  }

  /** Those that can't keep up, and by how much the latest is late, ms. */
  late(): { readonly threads: readonly number[]; readonly delay: number } {
    const threads: number[] = []
    let delay = 0
    for (const { thread, state } of this.#all) {
      const pulse = this.#options.board.pulse(thread)
      if (state !== 'running' || !pulse.shedding) continue
      threads.push(thread)
      delay = Math.max(delay, pulse.delay)
    }
    return { threads, delay }
  }

  /** Does any thread serve? */
  get serving(): boolean {
    return this.#all.some(({ state }) => state === 'running')
  }

  /** A thread hangs where nothing can end it: not even the process ends but by SIGKILL. */
  get stuck(): boolean {
    return this.#stuck
  }

  /** Threads that were started so far: another number says that one was replaced. */
  get spawns(): number {
    return this.#all.reduce((sum, { spawns }) => sum + spawns, 0)
  }

  /** How busy each thread's event loop was of late, 0..1. */
  utilisation(): number[] {
    return this.#all.map(({ utilisation }) => utilisation)
  }

  /** Bytes that the data threads' heaps and buffers hold. */
  held(): number {
    return this.#all.reduce((sum, { held }) => sum + held, 0)
  }

  broadcast(message: ToThread): void {
    for (const each of this.#all) each.post(message)
  }

  /**
   * Asks every thread, and resolves with their answers when all have obeyed, or died: one that comes in its place knows.
   * @throws BalancerError LISTEN_FAILED when one could not
   */
  async ask(request: Request): Promise<(number | null)[]> {
    const replies = await this.#askAll(request)
    const failed = failureIn(replies)
    if (failed !== null) throw new BalancerError('LISTEN_FAILED', failed)
    return replies.map(({ value }) => (typeof value === 'number' ? value : null))
  }

  /**
   * The same, where each must have obeyed within `ms`.
   * @throws BalancerError RELOAD_FAILED with the sentence of the first that has not
   */
  async demand(request: Request, ms: number): Promise<void> {
    const failed = failureIn(await this.#askAll(request, ms))
    if (failed !== null) throw new BalancerError('RELOAD_FAILED', failed)
  }

  #askAll(request: Request, ms?: number): Promise<Reply[]> {
    const id = ++this.#requests
    return Promise.all(
      this.#all.map((each) => {
        if (ms === undefined) return each.ask({ ...request, id })
        const failed = `data thread ${each.thread} did not answer within ${ms / 1000} s`
        return each.ask({ ...request, id }, ms, { value: null, failed })
      }),
    )
  }

  /** Resolves when every thread listens, those too that are being replaced. */
  async whole(): Promise<void> {
    for (let seen = -1; seen !== this.spawns; ) {
      seen = this.spawns
      await Promise.all(this.#all.map(({ ready }) => ready))
    }
  }

  /** Makes one thread throw. False: there is no such thread. */
  kill(thread: number): boolean {
    this.#all[thread]?.kill()
    return thread in this.#all
  }

  /** No new flows; resolves when the last flow of every thread has ended. Politely: another process is there for who comes anew. */
  async drain(politely: boolean): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#all.map((each) => each.drain(politely)))
  }

  /** Ends every thread, with its flows. */
  async stop(): Promise<void> {
    this.#stopping = true
    const ended = await Promise.all(this.#all.map((each) => each.stop()))
    if (ended.includes(false)) this.#stuck = true
    if (this.#watch !== null) clearInterval(this.#watch)
    this.#all = []
  }

  /** Ends threads that stand still. It goes on while flows drain. */
  #look(): void {
    const { clock, onHopeless } = this.#options
    for (const each of this.#all) each.look()
    const now = clock.now()
    if (this.serving || this.#stopping) this.#servedAt = now
    else if (now - this.#servedAt > ALONE_MS) {
      this.#servedAt = now
      const whys = this.#all.map(({ thread, why }) => `${thread}: ${firstLine(why)}`).join('; ')
      onHopeless(new BalancerError('THREAD_DIED', `no data thread has served for ${ALONE_MS / 1000} s (${whys})`))
    }
  }
}

const failureIn = (replies: readonly Reply[]): string | null =>
  replies.find(({ failed }) => failed !== null)?.failed ?? null

export const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
