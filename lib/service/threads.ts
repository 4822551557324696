/** The data threads: starts them, replaces one that dies, and takes back what it still held. */
import { Worker } from 'node:worker_threads'
import type { Board } from '../board/index.ts'
import type { AccessLogConfig } from '../config/index.ts'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import type { ServiceGate, ServiceView } from '../datapaths/index.ts'
import type { TicketSecrets } from '../tls/index.ts'
import type { FromThread, Request, ThreadStart, ToThread } from './messages.ts'
import { Utilisation } from './utilisation.ts'

// Whose callback it is that runs is of use to AsyncLocalStorage, which no data thread has: 4 % of a request's CPU time
// (docs/performance.md). Older runtimes don't know the option, and have it off. In the environment, because arguments would
// replace those that this process was started with.
const NO_FRAMES = '--no-async-context-frame'
const OPTIONS = [process.env['NODE_OPTIONS'] ?? '', NO_FRAMES].join(' ').trim()
const ENV = process.allowedNodeEnvironmentFlags.has(NO_FRAMES) ? { ...process.env, NODE_OPTIONS: OPTIONS } : process.env
const ENTRY = new URL('../data-thread.ts', import.meta.url)
const MAX_DEATHS = 10 // within DEATHS_MS: then something is wrong that a new thread does not mend
const DEATHS_MS = 10_000
const ANSWER_MS = 10_000 // a thread that is silent for so long hangs; what was asked of it is done as far as it can be

export interface ThreadsOptions {
  readonly board: Board
  readonly accessLog: AccessLogConfig
  /** As they are when a thread starts. */
  readonly services: () => readonly ServiceView[]
  /** Services that don't let everybody in at present, by name. */
  readonly gates: () => Readonly<Record<string, ServiceGate>>
  readonly tickets: () => TicketSecrets
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
  exited: Promise<void>
  utilisation: Utilisation
  /** Bytes that its heap and buffers held when it last told. */
  held: number
  /** Resolves when it listens, or never will. */
  ready: Promise<unknown>
  /** Who waits for the answer to which request. */
  readonly asked: Map<number, (reply: Reply) => void>
}

interface Reply {
  readonly value: number | null
  readonly failed: string | null
}

const NO_REPLY: Reply = { value: null, failed: null }

export class Threads {
  readonly #options: ThreadsOptions
  readonly #slots: Slot[] = []
  readonly #deaths: number[] = []
  #stopping = false
  #requests = 0
  /** Threads that were started so far: another number says that one was replaced. */
  spawns = 0

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

  /** How busy each thread's event loop was of late, 0..1. */
  utilisation(): number[] {
    return this.#slots.map((slot) => slot.utilisation.read(this.#options.clock.now()))
  }

  /** Bytes that the data threads' heaps and buffers hold, as of their last answer; each call asks them anew. */
  held(): number {
    let sum = 0
    for (const slot of this.#slots) {
      sum += slot.held
      slot.worker.getHeapStatistics().then(
        ({ used_heap_size: used, external_memory: external }) => {
          slot.held = used + external
        },
        () => {
          slot.held = 0 // it has ended
        },
      )
    }
    return sum
  }

  broadcast(message: ToThread): void {
    for (const slot of this.#slots) slot.worker.postMessage(message)
  }

  /**
   * Asks every thread, and resolves with their answers when all have obeyed, or died: one that comes in its place knows.
   * @throws BalancerError LISTEN_FAILED when one could not
   */
  async ask(request: Request): Promise<(number | null)[]> {
    const id = ++this.#requests
    const replies = await Promise.all(this.#slots.map((slot) => this.#askOne(slot, { ...request, id })))
    const failed = replies.find((reply) => reply.failed !== null)?.failed
    if (failed !== undefined && failed !== null) throw new BalancerError('LISTEN_FAILED', failed)
    return replies.map(({ value }) => value)
  }

  /**
   * The same, where each must have obeyed within `ms`.
   * @throws BalancerError RELOAD_FAILED with the sentence of the first that has not
   */
  async demand(request: Request, ms: number): Promise<void> {
    const id = ++this.#requests
    const replies = await Promise.all(
      this.#slots.map((slot) => {
        const failed = `data thread ${slot.thread} did not answer within ${ms / 1000} s`
        return this.#askOne(slot, { ...request, id }, ms, { value: null, failed })
      }),
    )
    const failed = replies.find((reply) => reply.failed !== null)?.failed
    if (failed !== undefined && failed !== null) throw new BalancerError('RELOAD_FAILED', failed)
  }

  /** Resolves when every thread listens, those too that are being replaced. */
  async whole(): Promise<void> {
    for (let seen = -1; seen !== this.spawns; ) {
      seen = this.spawns
      await Promise.all(this.#slots.map((slot) => slot.ready))
    }
  }

  #askOne(
    slot: Slot,
    request: Request & { readonly id: number },
    ms = ANSWER_MS + ('spreadMs' in request ? request.spreadMs : 0),
    late: Reply = NO_REPLY,
  ): Promise<Reply> {
    const { clock, log } = this.#options
    const { id, type } = request
    return new Promise((resolve) => {
      const cancel = clock.after(ms, () => {
        log.warn({ thread: slot.thread }, `data thread ${slot.thread} does not answer (${type})`)
        slot.asked.get(id)?.(late)
      })
      slot.asked.set(id, (reply) => {
        slot.asked.delete(id)
        cancel()
        resolve(reply)
      })
      slot.worker.postMessage(request)
    })
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
        slot.worker.postMessage({ type: 'stop' } satisfies ToThread)
        await slot.exited // of one that died unreplaced, during a drain or at the start, too
      }),
    )
    this.#slots.length = 0
  }

  #spawn(thread: number): Promise<void> {
    const { board, accessLog, services, tickets, clock, log } = this.#options
    const { buffer, bindings, threads } = board
    const shared = { board: buffer, bindings: bindings.buffer, threads, thread }
    const workerData: ThreadStart = {
      ...shared,
      accessLog,
      services: services(),
      gates: this.#options.gates(),
      tickets: tickets(),
    }
    const worker = new Worker(ENTRY, { workerData, name: `data-${thread}`, env: ENV })
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    const utilisation = new Utilisation(worker.performance)
    const before = this.#slots[thread]
    this.spawns++
    const fresh = { thread, deaths: 0, drained: null, held: 0, asked: new Map(), ready: Promise.resolve() }
    const slot: Slot = Object.assign(before ?? fresh, {
      worker,
      startedAt: clock.wall(),
      exited,
      utilisation,
    })
    this.#slots[thread] = slot
    const listens = new Promise<void>((resolve, reject) => {
      let why = 'it exited'
      let listening = false
      worker.on('message', (message: FromThread) => {
        if (message.type === 'listening') {
          listening = true
          resolve()
        } else if (message.type === 'failed') {
          reject(new BalancerError('LISTEN_FAILED', message.message))
          void worker.terminate()
        } else if (message.type === 'drained') slot.drained?.()
        else if (message.type === 'done') slot.asked.get(message.id)?.(message)
        else log.warn({ thread }, message.message)
      })
      worker.on('error', (error) => {
        why = error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
      })
      worker.on('exit', () => {
        reject(new BalancerError('THREAD_DIED', `data thread ${thread} died at its start: ${why}`))
        slot.drained?.()
        for (const reply of [...slot.asked.values()]) reply(NO_REPLY)
        if (!this.#stopping) this.#options.board.reclaim(thread)
        // One that never listened is the business of who started it.
        if (listening && !this.#stopping) this.#replace(slot, why)
      })
    })
    slot.ready = listens.catch(() => {})
    return listens
  }

  #replace(slot: Slot, why: string): void {
    const { clock, log, onHopeless } = this.#options
    const { thread } = slot
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
