/** One data thread: starts it, sees that it keeps beating, ends it when it does not, and brings another in its place. */
import { Worker } from 'node:worker_threads'
import type { Board } from '../board/index.ts'
import type { AccessLogConfig } from '../config/index.ts'
import { BalancerError, type Clock, codeOf, type Logger, messageOf, writeLogLine } from '../core/index.ts'
import type { ServiceGate, ServiceView, Sockets } from '../datapaths/index.ts'
import type { ChallengesView, TicketSecrets } from '../tls/index.ts'
import { type DeathCause, Deaths } from './deaths.ts'
import type { Answer, FromThread, Request, ThreadStart, ToThread } from './messages.ts'
import { Pulse } from './pulse.ts'
import { threadEnvironment } from './thread-environment.ts'
import { Utilisation } from './utilisation.ts'
import { threadStarts, YOUNG_MIB } from './young-heap.ts'

const ENTRY = new URL('../data-thread.ts', import.meta.url)
const START_MS = 60_000 // until it listens
const NATIVE_MS = 1000 // an end that takes longer waits for native code, which nothing can interrupt
const NATIVE = ': it hangs in native code, which nothing can interrupt'
const COLLECTED_MS = 1000 // a thread with a full heap has collected its garbage by then, or has none
const HEADROOM = 1024 ** 3 // what a thread gone mad can fill in that time
const STUCK_MS = 30_000 // then it hangs there for good
const STOP_MS = 5000 // for it to obey the last order
const ANSWER_MS = 10_000 // a thread that is silent for so long hangs; what was asked of it is done as far as it can be

export interface DataThreadOptions {
  readonly board: Board
  readonly accessLog: AccessLogConfig
  /** As they are when a thread starts. */
  readonly services: () => readonly ServiceView[]
  /** Services that don't let everybody in at present, by name. */
  readonly gates: () => Readonly<Record<string, ServiceGate>>
  readonly tickets: () => TicketSecrets
  readonly challenges: () => ChallengesView
  readonly clock: Clock
  readonly log: Logger
  /** Silence after which it is ended, ms; 0: never. */
  readonly hangMs: () => number
  /** Bytes that its heap may take. */
  readonly heapBytes: number
  /** It dies faster than replacing it makes sense, or can't be ended. */
  readonly onHopeless: (error: BalancerError) => void
}

/**
 * starting: it does not listen yet. running. ending: it was told to end by force. gone: there is none, the next one comes after
 * a wait, or never.
 */
export type ThreadState = 'starting' | 'running' | 'ending' | 'gone'

/** A data thread, for people. */
export interface ThreadStatus {
  readonly thread: number
  readonly state: ThreadState
  readonly restarts: number
  /** ms since the epoch. */
  readonly startedAt: number
  readonly deaths: Readonly<Record<DeathCause, number>>
  /** Deaths in a row: above 1 it is in a crash loop. */
  readonly row: number
  /** Why the last one ended; '': none has. */
  readonly why: string
  /** Flows that it lost to errors that nobody expected. */
  readonly faults: number
  /** Bytes that its heap and buffers held when it last told. */
  readonly held: number
}

export interface Reply {
  readonly value: Answer
  /** null: it has obeyed, or there is nobody who could. */
  readonly failed: string | null
}

const NO_REPLY: Reply = { value: null, failed: null }

export class DataThread {
  readonly thread: number
  readonly #options: DataThreadOptions
  readonly #deaths = new Deaths()
  readonly #pulse = new Pulse()
  /** Who waits for the answer to which request. */
  readonly #asked = new Map<number, (reply: Reply) => void>()
  #worker: Worker | null = null
  #exited: Promise<void> = Promise.resolve()
  #utilisation = new Utilisation()
  #state: ThreadState = 'gone'
  /** When the state began. */
  #since = 0
  #startedAt = 0
  #stopping = false
  #drained: (() => void) | null = null
  /** It was asked for its heap, and has not told yet. */
  #weighing = false
  /** Since when its heap takes more than it may; 0: it does not. */
  #overSince = 0
  /** Why it is about to end, where that is known before. */
  #cause: DeathCause | null = null
  #why = ''
  /** Takes the next one's coming back. */
  #cancel: (() => void) | null = null
  /** Threads that were started in this place. */
  spawns = 0
  /** Bytes that its heap and buffers held when it last told. */
  held = 0
  /** Resolves when it is ready for `open`. */
  prepared: Promise<void> = Promise.resolve()
  /** Resolves when it listens, or never will. */
  ready: Promise<unknown> = Promise.resolve()

  constructor(thread: number, options: DataThreadOptions) {
    this.thread = thread
    this.#options = options
  }

  get state(): ThreadState {
    return this.#state
  }

  /** Why the last one ended; '': none has. */
  get why(): string {
    return this.#why
  }

  get status(): ThreadStatus {
    const { total, counts, row } = this.#deaths
    return {
      thread: this.thread,
      state: this.#state,
      restarts: total,
      startedAt: this.#startedAt,
      deaths: counts,
      row,
      why: this.#why,
      faults: this.#options.board.pulse(this.thread).faults,
      held: this.held,
    }
  }

  /** How busy its event loop was of late, 0..1. */
  get utilisation(): number {
    return this.#utilisation.read(this.#options.clock.now())
  }

  /**
   * Starts it; resolves when it listens.
   * @param handed what it listens with, as another process did: then it listens with `open`
   * @throws BalancerError LISTEN_FAILED, TLS_CERTIFICATE, THREAD_DIED
   */
  start(handed: Sockets | null): Promise<void> {
    const { board, accessLog, services, gates, tickets, challenges, clock, heapBytes } = this.#options
    const { buffer, bindings, threads } = board
    const shared = { board: buffer, bindings: bindings.buffer, threads, thread: this.thread }
    const workerData: ThreadStart = {
      ...shared,
      accessLog,
      services: services(),
      gates: gates(),
      tickets: tickets(),
      challenges: challenges(),
      handed,
    }
    const started = threadStarts()
    const worker = new Worker(ENTRY, {
      workerData,
      name: `data-${this.thread}`,
      env: threadEnvironment(),
      resourceLimits: {
        maxOldGenerationSizeMb: mib(heapBytes + Math.max(heapBytes, HEADROOM)),
        maxYoungGenerationSizeMb: YOUNG_MIB,
      },
    })
    this.spawns++
    this.#worker = worker
    this.#exited = new Promise((resolve) => worker.once('exit', () => resolve()))
    this.#utilisation = new Utilisation(worker.performance)
    this.#enter('starting')
    this.#startedAt = clock.wall()
    this.#weighing = false
    this.#overSince = 0
    this.#cause = null
    this.#cancel = null
    this.held = 0
    const listens = this.#follow(worker)
    this.ready = listens.catch(() => {}).finally(started)
    return listens
  }

  /** Hears what it says and how it ends. */
  #follow(worker: Worker): Promise<void> {
    const { board, clock, log } = this.#options
    const { thread } = this
    const prepared = Promise.withResolvers<void>()
    this.prepared = prepared.promise
    return new Promise<void>((resolve, reject) => {
      let died: DeathCause = 'exit'
      let why = 'it exited'
      let listening = false
      worker.on('message', (message: FromThread) => {
        if (message.type === 'ready') prepared.resolve()
        else if (message.type === 'listening') {
          listening = true
          this.#pulse.reset(board.pulse(thread).beats, clock.now())
          if (this.#state === 'starting') this.#enter('running')
          resolve()
        } else if (message.type === 'failed') {
          reject(new BalancerError('LISTEN_FAILED', message.message))
          void worker.terminate()
        } else if (message.type === 'drained') this.#drained?.()
        else if (message.type === 'done') this.#asked.get(message.id)?.(message)
        else if (message.type === 'log') writeLogLine(message.line)
        else log.warn({ thread }, message.message)
      })
      worker.on('error', (error) => {
        died = codeOf(error) === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'error'
        why = error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
      })
      worker.on('exit', () => {
        const cause = this.#cause ?? died
        if (this.#state === 'ending') why = this.#why
        this.#enter('gone')
        reject(new BalancerError('THREAD_DIED', `data thread ${thread} died at its start: ${why}`))
        this.#drained?.()
        for (const reply of [...this.#asked.values()]) reply(NO_REPLY)
        if (this.#stopping) return
        board.reclaim(thread)
        // One that never listened is the business of who started it.
        if (listening) this.#replace(cause, why)
      })
    })
  }

  #replace(cause: DeathCause, why: string): void {
    const { clock, log } = this.#options
    const { thread } = this
    this.#why = why
    const wait = this.#deaths.count(cause, clock.wall() - this.#startedAt)
    const when = wait === 0 ? '' : ` in ${wait / 1000} s (${this.#deaths.row} deaths in a row)`
    log.error({ thread, cause, why }, `data thread ${thread} died: it is replaced${when}, its connections are lost`)
    if (wait === 0) void this.#again()
    else this.#cancel = clock.after(wait, () => void this.#again())
  }

  async #again(): Promise<void> {
    const { thread } = this
    this.#giveUp()
    try {
      await this.start(null)
      this.#options.log.info({ thread }, `data thread ${thread} is back`)
    } catch (error) {
      if (!this.#stopping) this.#replace('start', messageOf(error))
    }
  }

  #giveUp(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #enter(state: ThreadState): void {
    this.#state = state
    this.#since = this.#options.clock.now()
  }

  /** Ends it where it stands still, does not start, or takes too much memory. To be called every now and then. */
  look(): void {
    const { board, clock, log, onHopeless } = this.#options
    const { thread } = this
    const now = clock.now()
    const hangMs = this.#options.hangMs()
    const forMs = now - this.#since
    if (this.#state === 'running') void this.#weigh()
    const silent = this.#pulse.look(board.pulse(thread).beats, now)
    if (this.#state === 'running' && hangMs > 0 && silent >= hangMs)
      this.#end('hang', `its event loop has stood still for ${(silent / 1000).toFixed(1)} s`)
    else if (this.#state === 'starting' && forMs > START_MS)
      this.#end('start', `it does not listen after ${START_MS / 1000} s`)
    else if (this.#state === 'ending' && forMs > NATIVE_MS && !this.#why.endsWith(NATIVE)) {
      this.#why += NATIVE
      log.error({ thread, cause: this.#cause }, `data thread ${thread} does not end${NATIVE}`)
    } else if (this.#state === 'ending' && forMs > STUCK_MS) {
      this.#enter('ending') // told once in that time
      onHopeless(new BalancerError('THREAD_DIED', `data thread ${thread} can't be ended: ${this.#why}`))
    }
  }

  /** Ends it with too much on its heap before V8 finds it full, which it may answer by ending the process. */
  async #weigh(): Promise<void> {
    const worker = this.#worker
    if (this.#weighing || worker === null) return
    this.#weighing = true
    const { used_heap_size: used, external_memory: external } = await worker
      .getHeapStatistics() // a thread that never returns to its event loop answers too
      .catch(() => ({ used_heap_size: 0, external_memory: 0 })) // it has ended
    if (this.#worker !== worker) return
    this.#weighing = false
    this.held = used + external
    const { heapBytes, clock } = this.#options
    const now = clock.now()
    if (used <= heapBytes) this.#overSince = 0
    else if (this.#overSince === 0 && used <= 2 * heapBytes) {
      this.#overSince = now
      this.post({ type: 'collect' }) // perhaps it is but garbage
    } else if (now - this.#overSince >= COLLECTED_MS && this.#state === 'running')
      this.#end('memory', `its heap holds ${mib(used)} MiB and may hold ${mib(heapBytes)}`)
  }

  #end(cause: DeathCause, why: string): void {
    this.#cause = cause
    this.#why = why
    this.#enter('ending')
    void this.#worker?.terminate()
  }

  post(message: ToThread): void {
    this.#worker?.postMessage(message)
  }

  /**
   * Asks it; resolves when it has obeyed, or died: one that comes in its place knows.
   * @param ms how long it may take
   * @param late the reply when it takes longer
   */
  ask(
    request: Request & { readonly id: number },
    ms = ANSWER_MS + ('spreadMs' in request ? request.spreadMs : 0),
    late: Reply = NO_REPLY,
  ): Promise<Reply> {
    const { clock, log } = this.#options
    const { id, type } = request
    const { thread } = this
    if (this.#state === 'gone') return Promise.resolve(NO_REPLY)
    return new Promise((resolve) => {
      const cancel = clock.after(ms, () => {
        log.warn({ thread }, `data thread ${thread} does not answer (${type})`)
        this.#asked.get(id)?.(late)
      })
      this.#asked.set(id, (reply) => {
        this.#asked.delete(id)
        cancel()
        resolve(reply)
      })
      this.post(request)
    })
  }

  /** Makes it throw, as an operator wants. */
  kill(): void {
    if (this.#state === 'running' || this.#state === 'starting') {
      this.#cause = 'operator'
      this.post({ type: 'die' })
    } else if (this.#cancel !== null) void this.#again()
  }

  /** No new flows; resolves when its last one has ended. Politely: another process is there for who comes anew. */
  drain(politely: boolean): Promise<void> {
    this.#stopping = true
    this.#giveUp()
    if (this.#state === 'gone') return Promise.resolve()
    return new Promise((resolve) => {
      this.#drained = resolve
      this.post({ type: 'drain', politely })
    })
  }

  /** Ends it with its flows. False: it hangs where nothing can end it. */
  async stop(): Promise<boolean> {
    this.#stopping = true
    this.#giveUp()
    this.post({ type: 'stop' })
    if (await this.#exits()) return true
    void this.#worker?.terminate()
    return this.#exits()
  }

  /** False: it is still there after a while. */
  #exits(): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), STOP_MS)
      void this.#exited.then(() => {
        clearTimeout(late)
        resolve(true)
      })
    })
  }
}

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024)
