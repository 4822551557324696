/** The data threads: starts them, replaces one that dies, and takes back what it still held. */
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

const ENTRY = new URL('../data-thread.ts', import.meta.url)
const LOOK_MS = 250 // how often each thread's beats are looked at
const START_MS = 60_000 // until a thread listens
const NATIVE_MS = 1000 // an end that takes longer waits for native code, which nothing can interrupt
const COLLECTED_MS = 1000 // a thread with a full heap has collected its garbage by then, or has none
const HEADROOM = 1024 ** 3 // what a thread gone mad can fill in that time
const STUCK_MS = 30_000 // then it hangs there for good
const STOP_MS = 5000 // for a thread to obey the last order
const ALONE_MS = 60_000 // without any thread: then something is wrong that a new thread does not mend
const ANSWER_MS = 10_000 // a thread that is silent for so long hangs; what was asked of it is done as far as it can be

export interface ThreadsOptions {
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
  /** Silence after which a thread is ended, ms; 0: never. */
  readonly hangMs: () => number
  /** Bytes that the heap of each may take. */
  readonly heapBytes: number
  /** Threads die faster than replacing them makes sense. */
  readonly onHopeless: (error: BalancerError) => void
}

/**
 * starting: it does not listen yet. running. ending: it was told to end by force. gone: there is none, the next one comes after
 * a wait, or never.
 */
export type ThreadState = 'starting' | 'running' | 'ending' | 'gone'

interface Slot {
  readonly thread: number
  readonly deaths: Deaths
  readonly pulse: Pulse
  state: ThreadState
  /** When the state began. */
  since: number
  worker: Worker
  startedAt: number
  drained: (() => void) | null
  exited: Promise<void>
  utilisation: Utilisation
  /** Bytes that its heap and buffers held when it last told. */
  held: number
  /** Resolves when it listens, or never will. */
  ready: Promise<unknown>
  /** It has been asked for that, and has not told yet. */
  asking: boolean
  /** Since when its heap takes more than it may; 0: it does not. */
  overSince: number
  /** Why it is about to end, where that is known before. */
  cause: DeathCause | null
  /** Why the last one ended; '': none has. */
  why: string
  /** Takes the next one's coming back. */
  cancel: (() => void) | null
  /** Resolves when it is ready for `open`. */
  prepared: Promise<void>
  /** Who waits for the answer to which request. */
  readonly asked: Map<number, (reply: Reply) => void>
}

/** A data thread, for people. */
export interface ThreadStatus {
  readonly thread: number
  readonly state: ThreadState
  readonly restarts: number
  readonly startedAt: number
  readonly deaths: Readonly<Record<DeathCause, number>>
  /** Deaths in a row: above 1 it is in a crash loop. */
  readonly row: number
  /** Why the last one ended; '': none has. */
  readonly why: string
  /** Flows that it lost to errors that nobody expected. */
  readonly faults: number
}

interface Reply {
  readonly value: Answer
  readonly failed: string | null
}

const NO_REPLY: Reply = { value: null, failed: null }

export class Threads {
  readonly #options: ThreadsOptions
  readonly #slots: Slot[] = []
  #stopping = false
  #requests = 0
  #listening: Promise<unknown> = Promise.resolve()
  /** Threads that were started so far: another number says that one was replaced. */
  spawns = 0
  #watch: NodeJS.Timeout | null = null
  /** When it was last seen that a thread runs. */
  #servedAt = 0
  #stuck = false

  constructor(options: ThreadsOptions) {
    this.#options = options
  }

  /**
   * Starts all; rejects with LISTEN_FAILED or TLS_CERTIFICATE when one can't, and then none runs.
   * @param handed what each listens with, as another process did; then all are only got ready, and listen with `open`
   */
  async start(handed: readonly Sockets[] | null): Promise<void> {
    const { threads } = this.#options.board
    const started = Array.from({ length: threads }, (_, thread) => this.#spawn(thread, handed?.[thread] ?? null))
    this.#listening = Promise.all(started)
    this.#listening.catch(() => {}) // told by `open`, or below
    const ready = handed === null ? started : started.map((each, i) => Promise.race([each, this.#slots[i]?.prepared]))
    const results = await Promise.allSettled(ready)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) {
      this.#servedAt = this.#options.clock.now()
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
    const id = ++this.#requests
    const replies = await Promise.all(this.#slots.map((slot) => this.#askOne(slot, { type: 'lend', id })))
    const all: Record<string, number[]> = {}
    for (const { value } of replies) {
      if (value === null || typeof value === 'number')
        throw new BalancerError('THREAD_DIED', 'a data thread does not tell what it listens with')
      for (const [address, descriptors] of Object.entries(value))
        all[address] = [...(all[address] ?? []), ...descriptors]
    }
    return all
  }

  /** One row per thread; times in ms since the epoch. */
  status(): ThreadStatus[] {
    return this.#slots.map(({ thread, state, deaths, startedAt, why }) => ({
      thread,
      state,
      restarts: deaths.total,
      startedAt,
      deaths: deaths.counts,
      row: deaths.row,
      why,
      faults: this.#options.board.pulse(thread).faults,
    }))
  }

  /** Those that can't keep up, and by how much the latest is late, ms. */
  late(): { readonly threads: readonly number[]; readonly delay: number } {
    const threads: number[] = []
    let delay = 0
    for (const { thread, state } of this.#slots) {
      const pulse = this.#options.board.pulse(thread)
      if (state !== 'running' || !pulse.shedding) continue
      threads.push(thread)
      delay = Math.max(delay, pulse.delay)
    }
    return { threads, delay }
  }

  /** Does any thread serve? */
  get serving(): boolean {
    return this.#slots.some(({ state }) => state === 'running')
  }

  /** A thread hangs where nothing can end it: not even the process ends but by SIGKILL. */
  get stuck(): boolean {
    return this.#stuck
  }

  /** How busy each thread's event loop was of late, 0..1. */
  utilisation(): number[] {
    return this.#slots.map((slot) => slot.utilisation.read(this.#options.clock.now()))
  }

  /** Bytes that the data threads' heaps and buffers hold. */
  held(): number {
    return this.#slots.reduce((sum, { held }) => sum + held, 0)
  }

  /** Ends a thread with too much on its heap before V8 finds it full, which it may answer by ending the process. */
  async #weigh(slot: Slot): Promise<void> {
    if (slot.asking) return
    slot.asking = true
    const { worker } = slot
    const { used_heap_size: used, external_memory: external } = await worker
      .getHeapStatistics() // a thread that never returns to its event loop answers too
      .catch(() => ({ used_heap_size: 0, external_memory: 0 })) // it has ended
    if (slot.worker !== worker) return
    slot.asking = false
    slot.held = used + external
    const { heapBytes, clock } = this.#options
    const now = clock.now()
    if (used <= heapBytes) slot.overSince = 0
    else if (slot.overSince === 0 && used <= 2 * heapBytes) {
      slot.overSince = now
      worker.postMessage({ type: 'collect' } satisfies ToThread) // perhaps it is but garbage
    } else if (now - slot.overSince >= COLLECTED_MS && slot.state === 'running')
      this.#end(slot, 'memory', `its heap holds ${mib(used)} MiB and may hold ${mib(heapBytes)}`)
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
    return replies.map(({ value }) => (typeof value === 'number' ? value : null))
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
    if (slot.state === 'gone') return Promise.resolve(NO_REPLY)
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
    if (slot === undefined) return false
    if (slot.state === 'running' || slot.state === 'starting') {
      slot.cause = 'operator'
      slot.worker.postMessage({ type: 'die' } satisfies ToThread)
    } else if (slot.cancel !== null) void this.#again(slot)
    return true
  }

  /** No new flows; resolves when the last flow of every thread has ended. Politely: another process is there for who comes anew. */
  async drain(politely: boolean): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#slots.map((slot) => {
        this.#giveUp(slot)
        if (slot.state === 'gone') return Promise.resolve()
        const ended = new Promise<void>((resolve) => {
          slot.drained = resolve
        })
        slot.worker.postMessage({ type: 'drain', politely } satisfies ToThread)
        return ended
      }),
    )
  }

  /** Ends every thread, with its flows. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#slots.map(async (slot) => {
        this.#giveUp(slot)
        slot.worker.postMessage({ type: 'stop' } satisfies ToThread)
        if (!(await this.#exits(slot))) void slot.worker.terminate()
        if (!(await this.#exits(slot))) this.#stuck = true
      }),
    )
    if (this.#watch !== null) clearInterval(this.#watch)
    this.#slots.length = 0
  }

  /** False: it is still there after a while. */
  #exits({ exited }: Slot): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), STOP_MS)
      void exited.then(() => {
        clearTimeout(late)
        resolve(true)
      })
    })
  }

  #giveUp(slot: Slot): void {
    slot.cancel?.()
    slot.cancel = null
  }

  #enter(slot: Slot, state: ThreadState): void {
    slot.state = state
    slot.since = this.#options.clock.now()
  }

  /** Ends threads that stand still. It goes on while flows drain. */
  #look(): void {
    const { board, clock, log, onHopeless } = this.#options
    const now = clock.now()
    const hangMs = this.#options.hangMs()
    for (const slot of this.#slots) {
      const { thread, state, since, pulse } = slot
      if (state === 'running') void this.#weigh(slot)
      const silent = pulse.look(board.pulse(thread).beats, now)
      if (state === 'running' && hangMs > 0 && silent >= hangMs)
        this.#end(slot, 'hang', `its event loop has stood still for ${(silent / 1000).toFixed(1)} s`)
      else if (state === 'starting' && now - since > START_MS)
        this.#end(slot, 'start', `it does not listen after ${START_MS / 1000} s`)
      else if (state === 'ending' && now - since > NATIVE_MS && !slot.why.endsWith(NATIVE)) {
        slot.why += NATIVE
        log.error({ thread, cause: slot.cause }, `data thread ${thread} does not end${NATIVE}`)
      } else if (state === 'ending' && now - since > STUCK_MS) {
        this.#enter(slot, 'ending') // told once in that time
        onHopeless(new BalancerError('THREAD_DIED', `data thread ${thread} can't be ended: ${slot.why}`))
      }
    }
    if (this.serving || this.#stopping) this.#servedAt = now
    else if (now - this.#servedAt > ALONE_MS) {
      this.#servedAt = now
      const whys = this.#slots.map(({ thread, why }) => `${thread}: ${firstLine(why)}`).join('; ')
      onHopeless(new BalancerError('THREAD_DIED', `no data thread has served for ${ALONE_MS / 1000} s (${whys})`))
    }
  }

  #end(slot: Slot, cause: DeathCause, why: string): void {
    slot.cause = cause
    slot.why = why
    this.#enter(slot, 'ending')
    void slot.worker.terminate()
  }

  #spawn(thread: number, handed: Sockets | null): Promise<void> {
    const { board, accessLog, services, gates, tickets, challenges, clock, log, heapBytes } = this.#options
    const { buffer, bindings, threads } = board
    const shared = { board: buffer, bindings: bindings.buffer, threads, thread }
    const workerData: ThreadStart = {
      ...shared,
      accessLog,
      services: services(),
      gates: gates(),
      tickets: tickets(),
      challenges: challenges(),
      handed,
    }
    this.spawns++
    const worker = new Worker(ENTRY, {
      workerData,
      name: `data-${thread}`,
      env: threadEnvironment(),
      resourceLimits: { maxOldGenerationSizeMb: mib(heapBytes + Math.max(heapBytes, HEADROOM)) },
    })
    const prepared = Promise.withResolvers<void>()
    const before = this.#slots[thread] ?? {
      thread,
      deaths: new Deaths(),
      pulse: new Pulse(),
      drained: null,
      why: '',
      asked: new Map(),
      ready: Promise.resolve(),
    }
    const slot: Slot = Object.assign(before, {
      worker,
      state: 'starting' as const,
      since: clock.now(),
      startedAt: clock.wall(),
      exited: new Promise<void>((resolve) => worker.once('exit', () => resolve())),
      utilisation: new Utilisation(worker.performance),
      held: 0,
      asking: false,
      overSince: 0,
      cause: null,
      cancel: null,
      prepared: prepared.promise,
    })
    this.#slots[thread] = slot
    const listens = new Promise<void>((resolve, reject) => {
      let died: DeathCause = 'exit'
      let why = 'it exited'
      let listening = false
      worker.on('message', (message: FromThread) => {
        if (message.type === 'ready') prepared.resolve()
        else if (message.type === 'listening') {
          listening = true
          slot.pulse.reset(board.pulse(thread).beats, clock.now())
          if (slot.state === 'starting') this.#enter(slot, 'running')
          resolve()
        } else if (message.type === 'failed') {
          reject(new BalancerError('LISTEN_FAILED', message.message))
          void worker.terminate()
        } else if (message.type === 'drained') slot.drained?.()
        else if (message.type === 'done') slot.asked.get(message.id)?.(message)
        else if (message.type === 'log') writeLogLine(message.line)
        else log.warn({ thread }, message.message)
      })
      worker.on('error', (error) => {
        died = codeOf(error) === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'error'
        why = error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
      })
      worker.on('exit', () => {
        const cause = slot.cause ?? died
        if (slot.state === 'ending') why = slot.why
        this.#enter(slot, 'gone')
        reject(new BalancerError('THREAD_DIED', `data thread ${thread} died at its start: ${why}`))
        slot.drained?.()
        for (const reply of [...slot.asked.values()]) reply(NO_REPLY)
        if (!this.#stopping) board.reclaim(thread)
        // One that never listened is the business of who started it.
        if (listening && !this.#stopping) this.#replace(slot, cause, why)
      })
    })
    slot.ready = listens.catch(() => {})
    return listens
  }

  #replace(slot: Slot, cause: DeathCause, why: string): void {
    const { clock, log } = this.#options
    const { thread, deaths } = slot
    slot.why = why
    const wait = deaths.count(cause, clock.wall() - slot.startedAt)
    const when = wait === 0 ? '' : ` in ${wait / 1000} s (${deaths.row} deaths in a row)`
    log.error({ thread, cause, why }, `data thread ${thread} died: it is replaced${when}, its connections are lost`)
    if (wait === 0) void this.#again(slot)
    else slot.cancel = clock.after(wait, () => void this.#again(slot))
  }

  async #again(slot: Slot): Promise<void> {
    const { log } = this.#options
    const { thread } = slot
    this.#giveUp(slot)
    try {
      await this.#spawn(thread, null)
      log.info({ thread }, `data thread ${thread} is back`)
    } catch (error) {
      if (!this.#stopping) this.#replace(slot, 'start', messageOf(error))
    }
  }
}

const NATIVE = ': it hangs in native code, which nothing can interrupt'

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024)

export const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
