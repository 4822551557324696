/** The datapath of `tcp`, `tls`, `http` and `https` services in one data thread: goes from view to view, and from open to shut. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Board } from '../board/index.ts'
import { type DeadlineWheel, type Logger, Roster } from '../core/index.ts'
import type { AccessLog } from '../telemetry/index.ts'
import type { Challenges, TicketRing, TlsView } from '../tls/index.ts'
import type { Datapath, Life, ServiceGate, ServiceView, Session } from './contract.ts'
import { cutAll } from './cut.ts'
import type { Doors } from './doors.ts'
import { type EngineFactory, Generation } from './generation.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Listener } from './listener.ts'

/** How long an idle connection of a service that drains may bring one more request, which is answered with `Connection: close`. */
const GRACE_MS = 1000
const ARRIVAL_MS = 100 // how soon the end of the last handshake is seen

/** What all services of a data thread share. */
export interface ThreadTools {
  /** Whether the thread can keep up. */
  readonly load: Pick<Heartbeat, 'shedding'>
  readonly board: Board
  readonly thread: number
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
  readonly tickets: TicketRing
  readonly challenges: Challenges
  readonly doors: Doors
}

export class StreamDatapath implements Datapath {
  readonly #tools: ThreadTools
  readonly #life: Life = { draining: false, sessions: new Roster<Session>(), latest: null }
  #current: Generation | null = null
  /** What is in force after a commit. */
  #next: Generation | null = null
  #gate: ServiceGate = 'shut'
  #nextGate: ServiceGate = 'shut'
  /** Those of earlier views from which connections are still on their way. */
  #older: readonly Listener[] = []
  #emptied: (() => void) | null = null

  constructor(tools: ThreadTools) {
    this.#tools = tools
  }

  async prepare(view: ServiceView, gate: ServiceGate): Promise<void> {
    const engine = view.http.engine === 'http-proxy' ? await loadEngine() : null
    const next = new Generation({
      view,
      life: this.#life,
      tools: this.#tools,
      engine,
      before: this.#current,
      onEnded: () => {
        if (this.#life.sessions.size === 0) this.#emptied?.()
      },
    })
    if (gate !== 'shut') await this.#open(next)
    this.#next = next
    this.#nextGate = gate
  }

  async #open({ listeners }: Generation): Promise<void> {
    const results = await Promise.allSettled(listeners.map((listener) => listener.open(this.#tools.doors)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    for (const listener of listeners) listener.leave()
    throw failed.reason
  }

  commit(): void {
    const next = this.#next
    if (next === null) return
    const before = this.#current
    this.#next = null
    this.#current = next
    this.#life.latest = next.context
    for (const { pool, view } of next.context.pools) pool.queue.limit(view.queue)
    const shut = this.#gate === 'shut'
    this.#gate = this.#nextGate
    this.#life.draining = this.#gate !== 'open'
    if (this.#gate !== 'shut') for (const listener of next.listeners) listener.take()
    if (before === null) return
    // Behind `take`: a door that both have open stays open.
    if (!shut) for (const listener of before.listeners) listener.leave()
    this.#older = [...this.#older, ...before.listeners].filter((listener) => listener.busy)
    before.close(next)
  }

  discard(): void {
    for (const listener of this.#next?.listeners ?? []) listener.leave()
    this.#next = null
  }

  async admit(gate: ServiceGate): Promise<void> {
    const current = this.#current
    const shut = this.#gate === 'shut'
    this.#life.draining = gate !== 'open'
    this.#gate = gate
    if (gate === 'shut') this.#shut()
    if (gate !== 'open') for (const session of this.#life.sessions) session.drain(GRACE_MS)
    if (gate === 'shut' || !shut || current === null) return
    try {
      await this.#open(current)
    } catch (error) {
      this.#gate = 'shut'
      throw error
    }
    for (const listener of current.listeners) listener.take()
  }

  #shut(): void {
    for (const listener of this.#older) listener.close()
    this.#older = []
    for (const listener of this.#current?.listeners ?? []) listener.close()
  }

  secure(tls: TlsView): void {
    this.#current?.secure(tls)
  }

  async drain(politely: boolean): Promise<void> {
    this.discard()
    this.#life.draining = true
    this.#gate = 'shut'
    if (politely) for (const listener of this.#current?.listeners ?? []) listener.leave()
    else this.#shut()
    for (const session of this.#life.sessions) session.drain(politely ? Number.POSITIVE_INFINITY : 0)
    while (this.#life.sessions.size > 0 || this.#arriving) {
      const emptied = new Promise<void>((resolve) => (this.#emptied = resolve))
      await (this.#arriving ? pause(ARRIVAL_MS) : emptied)
    }
    this.#current?.close(null)
  }

  /** Connections are on their way to a session. */
  get #arriving(): boolean {
    return [...this.#older, ...(this.#current?.listeners ?? [])].some((listener) => listener.busy)
  }

  cut(backendName: string | null, spreadMs: number): Promise<void> {
    const sessions = [...this.#life.sessions]
    if (backendName === null) return cutAll(sessions, null, spreadMs)
    return cutAll(
      sessions.filter((session) => session.since(backendName) < Number.POSITIVE_INFINITY),
      backendName,
      spreadMs,
    )
  }

  oldest(backendName: string | null): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const session of this.#life.sessions) oldest = Math.min(oldest, session.since(backendName))
    return oldest
  }

  async close(): Promise<void> {
    this.discard()
    this.#gate = 'shut'
    this.#shut()
    for (const session of this.#life.sessions) session.cut(null)
    this.#current?.close(null)
  }
}

/** 14 MB and 40 ms that threads without it don't pay for. */
async function loadEngine(): Promise<EngineFactory> {
  const { ProxyEngine } = await import('./http-proxy/engine.ts')
  return (context, before) => new ProxyEngine(context, before)
}
