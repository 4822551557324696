/** Follows one backend's agent through question after question: when the next one comes, and what its load is by now. */
import type { LoadConfig } from '../config/index.ts'
import type { Address, Clock } from '../core/index.ts'
import { AgentFailure, type AgentReport, type LoadAgent } from './contract.ts'

const JITTER = 0.05
const STALE_INTERVALS = 3 // older than that, a load says nothing of now
const NEWEST = 0.8 // part of a new load in the average: after two, 24 of 25 parts of a change are there
const FULL = 100

export interface AgentRunnerOptions {
  readonly agent: LoadAgent
  /** The backend's address; `load.port` replaces its port. */
  readonly target: Address
  readonly load: Pick<LoadConfig, 'port' | 'interval' | 'timeout'>
  readonly clock: Clock
  /** 0 <= n < 1. Default: Math.random. */
  readonly random?: () => number
  /** Before the first question, in milliseconds. Default: 0. */
  readonly startDelay?: number
  /** Each answer that means something. */
  readonly onReport: (report: AgentReport) => void
  /** Each change of the load, smoothed; null: it is no longer known. Before the `onReport` that it comes with. */
  readonly onLoad: (load: number | null) => void
  /** It can't be asked, or tells nothing that means something, since this question; '': it can again. */
  readonly onTrouble: (detail: string) => void
}

/** How the last question ended. */
export interface AgentRecord {
  /** Wall-clock milliseconds. */
  readonly at: number
  readonly ok: boolean
  /** Why there is no report; '' when there is one. */
  readonly detail: string
}

/** One question under way. Its identity tells a timely answer from a late one. */
interface Run {
  readonly controller: AbortController
  readonly startedAt: number
  readonly cancelTimeout: () => void
}

export class AgentRunner {
  readonly #options: AgentRunnerOptions
  readonly #target: Address
  readonly #random: () => number
  #state: 'new' | 'started' | 'stopped' = 'new'
  #load: number | null = null
  #report: AgentReport | null = null
  #last: AgentRecord | null = null
  #run: Run | null = null
  #phased = false
  #cancelNext: (() => void) | null = null
  #cancelStale: (() => void) | null = null

  constructor(options: AgentRunnerOptions) {
    this.#options = options
    this.#target = { host: options.target.host, port: options.load.port ?? options.target.port }
    this.#random = options.random ?? Math.random
  }

  /** 0..100, smoothed; null: it has told none of late. */
  get load(): number | null {
    return this.#load
  }
  get lastReport(): AgentReport | null {
    return this.#report
  }
  get last(): AgentRecord | null {
    return this.#last
  }

  /** Asks for the first time, at once or after `startDelay`. A second call does nothing. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'started'
    const delay = this.#options.startDelay ?? 0
    if (delay > 0) this.#schedule(delay)
    else this.#begin()
  }

  /** Asks no more; an answer under way is ignored. */
  stop(): void {
    this.#state = 'stopped'
    this.#cancelNext?.()
    this.#cancelStale?.()
    const run = this.#run
    this.#run = null
    run?.cancelTimeout()
    run?.controller.abort()
  }

  get #ended(): boolean {
    return this.#state === 'stopped'
  }

  #schedule(delay: number): void {
    this.#cancelNext = this.#options.clock.after(delay, () => this.#begin())
  }

  #begin(): void {
    const { clock, load } = this.#options
    const controller = new AbortController()
    const run: Run = {
      controller,
      startedAt: clock.now(),
      // The agent may ignore its signal: the runner goes on without it.
      cancelTimeout: clock.after(load.timeout, () => {
        controller.abort()
        this.#settle(run, new AgentFailure(`no answer within ${load.timeout} ms`))
      }),
    }
    this.#run = run
    this.#options.agent.ask(this.#target, controller.signal).then(
      (report) => this.#settle(run, report),
      (error: unknown) => this.#settle(run, AgentFailure.of(error)),
    )
  }

  #settle(run: Run, outcome: AgentReport | AgentFailure): void {
    if (this.#run !== run) return
    this.#run = null
    run.cancelTimeout()
    const { clock, onReport, onTrouble } = this.#options
    const failed = outcome instanceof AgentFailure
    const troubled = this.#last?.ok === false
    this.#last = { at: clock.wall(), ok: !failed, detail: failed ? outcome.message : '' }
    // All is in place before anyone is told: a listener may stop this runner.
    this.#schedule(Math.max(0, run.startedAt + this.#delay() - clock.now()))
    if (failed !== troubled) onTrouble(failed ? outcome.message : '')
    if (failed || this.#ended) return
    this.#report = outcome
    if (outcome.load !== null) this.#take(outcome.load)
    if (!this.#ended) onReport(outcome)
  }

  #take(load: number): void {
    const { clock, load: options } = this.#options
    this.#cancelStale?.()
    this.#cancelStale = clock.after(options.interval * STALE_INTERVALS, () => this.#tell(null))
    // Full is full at once: the average would go on sending flows for a while.
    this.#tell(load === FULL || this.#load === null ? load : this.#load + (load - this.#load) * NEWEST)
  }

  #tell(load: number | null): void {
    if (this.#load === load) return
    this.#load = load
    this.#options.onLoad(load)
  }

  #delay(): number {
    const { interval } = this.#options.load
    if (this.#phased) return interval * (1 + JITTER * (2 * this.#random() - 1))
    // Agents that were first asked together get a phase of their own, or every round would be a burst.
    this.#phased = true
    return interval * this.#random()
  }
}
