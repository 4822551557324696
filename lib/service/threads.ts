/** The data threads: starts them, replaces one that dies, and takes back what it still held. */
import { Worker } from 'node:worker_threads'
import type { Board } from '../board/index.ts'
import type { AccessLogConfig } from '../config/index.ts'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import type { ServiceView } from '../datapaths/index.ts'
import type { FromThread, ThreadStart, ToThread } from './messages.ts'

const ENTRY = new URL('../data-thread.ts', import.meta.url)
const MAX_DEATHS = 10 // within DEATHS_MS: then something is wrong that a new thread does not mend
const DEATHS_MS = 10_000

export interface ThreadsOptions {
  readonly board: Board
  readonly accessLog: AccessLogConfig
  readonly services: readonly ServiceView[]
  readonly clock: Clock
  readonly log: Logger
  /** Threads die faster than replacing them makes sense. */
  readonly onHopeless: (error: BalancerError) => void
}

interface Slot {
  readonly thread: number
  worker: Worker
  deaths: number
  startedAt: number
  drained: (() => void) | null
}

export class Threads {
  readonly #options: ThreadsOptions
  readonly #slots: Slot[] = []
  readonly #deaths: number[] = []
  #stopping = false

  constructor(options: ThreadsOptions) {
    this.#options = options
  }

  /** Starts all; rejects with LISTEN_FAILED or TLS_CERTIFICATE when one can't, and then none runs. */
  async start(): Promise<void> {
    const started = Array.from({ length: this.#options.board.threads }, (_, thread) => this.#spawn(thread))
    const results = await Promise.allSettled(started)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    await this.stop()
    throw failed.reason
  }

  /** One row per thread: how often it was replaced, and since when it runs (ms since the epoch). */
  status(): { thread: number; restarts: number; startedAt: number }[] {
    return this.#slots.map(({ thread, deaths, startedAt }) => ({ thread, restarts: deaths, startedAt }))
  }

  /** Event-loop utilisation of each thread since its start, 0..1. */
  utilisation(): number[] {
    return this.#slots.map((slot) => slot.worker.performance.eventLoopUtilization().utilization)
  }

  broadcast(message: ToThread): void {
    for (const slot of this.#slots) slot.worker.postMessage(message)
  }

  /** Makes one thread throw. False: there is no such thread. */
  kill(thread: number): boolean {
    const slot = this.#slots[thread]
    slot?.worker.postMessage({ type: 'die' } satisfies ToThread)
    return slot !== undefined
  }

  /** No new flows; resolves when the last flow of every thread has ended. */
  async drain(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#slots.map((slot) => {
        const ended = new Promise<void>((resolve) => {
          slot.drained = resolve
        })
        slot.worker.postMessage({ type: 'drain' } satisfies ToThread)
        return ended
      }),
    )
  }

  /** Ends every thread, with its flows. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#slots.map(async (slot) => {
        const exited = new Promise<void>((resolve) => slot.worker.once('exit', () => resolve()))
        slot.worker.postMessage({ type: 'stop' } satisfies ToThread)
        await exited
      }),
    )
    this.#slots.length = 0
  }

  #spawn(thread: number): Promise<void> {
    const { board, accessLog, services, clock, log } = this.#options
    const workerData: ThreadStart = { board: board.buffer, threads: board.threads, thread, accessLog, services }
    const worker = new Worker(ENTRY, { workerData, name: `data-${thread}` })
    const slot = this.#slots[thread] ?? { thread, worker, deaths: 0, startedAt: 0, drained: null }
    slot.worker = worker
    slot.startedAt = clock.wall()
    this.#slots[thread] = slot
    return new Promise((resolve, reject) => {
      let why = 'it exited'
      let listening = false
      worker.on('message', (message: FromThread) => {
        if (message.type === 'listening') {
          listening = true
          resolve()
        } else if (message.type === 'failed') reject(new BalancerError('LISTEN_FAILED', message.message))
        else if (message.type === 'drained') slot.drained?.()
        else log.warn({ thread }, message.message)
      })
      worker.on('error', (error) => {
        why = error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
      })
      worker.on('exit', () => {
        reject(new BalancerError('THREAD_DIED', `data thread ${thread} died at its start: ${why}`))
        slot.drained?.()
        // One that never listened is the business of who started it.
        if (listening && !this.#stopping) this.#replace(slot, why)
      })
    })
  }

  #replace(slot: Slot, why: string): void {
    const { board, clock, log, onHopeless } = this.#options
    const { thread } = slot
    board.reclaim(thread)
    slot.deaths++
    const now = clock.now()
    this.#deaths.push(now)
    while ((this.#deaths[0] ?? now) < now - DEATHS_MS) this.#deaths.shift()
    log.error({ thread, why }, `data thread ${thread} died: it is replaced, its connections are lost`)
    if (this.#deaths.length > MAX_DEATHS) {
      return onHopeless(
        new BalancerError(
          'THREAD_DIED',
          `data threads died ${this.#deaths.length} times within ${DEATHS_MS / 1000} s: ${why}`,
        ),
      )
    }
    this.#spawn(thread).then(
      () => log.info({ thread }, `data thread ${thread} is back`),
      (error: unknown) => this.#replace(slot, messageOf(error)),
    )
  }
}
