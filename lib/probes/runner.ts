/** Follows one backend through probe after probe: when the next one runs, and when the results change its health. */
import type { HealthConfig } from '../config/index.ts'
import { type Address, type Clock, shortText } from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeReason } from './contract.ts'

const KEPT_RESULTS = 10 // what `query` shows on one screen
const COARSE_ABOVE_MS = 1000
const GRAIN_MS = 10
const AT_ONCE = 64 // first probes in parallel: even with TLS handshakes less than 0.1 s of a core

export interface ProbeRecord {
  /** When the result was known, in wall-clock milliseconds. */
  readonly at: number
  readonly ok: boolean
  /** It passed and asks for no new flows. */
  readonly drain: boolean
  /** null for a pass. */
  readonly reason: ProbeReason | null
  readonly detail: string
  readonly durationMs: number
}

type Health = 'unknown' | 'passing' | 'failing'
type Outcome = Pick<ProbeRecord, 'ok' | 'drain' | 'reason' | 'detail'>

export interface ProbeRunnerOptions {
  readonly probe: Probe
  /** The backend's address; `health.port` replaces its port. */
  readonly target: Address
  readonly health: HealthConfig
  readonly clock: Clock
  /** 0 <= n < 1. Default: Math.random. */
  readonly random?: () => number
  /** Each result, before the `onHealth` that it causes. */
  readonly onResult: (result: ProbeRecord) => void
  /** Each change of the health, the first from `unknown` included. */
  readonly onHealth: (health: 'passing' | 'failing', why: string) => void
  /** Health known from before, kept until `rise` or `fall` results speak against it. Default: unknown. */
  readonly initial?: Health
  /** Before the first probe, in milliseconds. Default: 0. */
  readonly startDelay?: number
}

/** One probe under way. Its identity tells a timely result from a late one. */
interface Run {
  readonly controller: AbortController
  readonly startedAt: number
  readonly cancelTimeout: () => void
}

export class ProbeRunner {
  readonly #options: ProbeRunnerOptions
  readonly #target: Address
  readonly #random: () => number
  #health: Health
  #results: readonly ProbeRecord[] = []
  #streak = 0
  #nextAt: number | null = null
  #phased = false
  #state: 'new' | 'started' | 'stopped' = 'new'
  #run: Run | null = null
  #cancelNext: (() => void) | null = null

  constructor(options: ProbeRunnerOptions) {
    this.#options = options
    this.#target = { host: options.target.host, port: options.health.port ?? options.target.port }
    this.#random = options.random ?? Math.random
    this.#health = options.initial ?? 'unknown'
  }

  get health(): Health {
    return this.#health
  }
  /** The last ten, the oldest first. */
  get lastResults(): readonly ProbeRecord[] {
    return this.#results
  }
  /** How many results in a row are like the last one. */
  get streak(): number {
    return this.#streak
  }
  /** Wall-clock milliseconds of the next probe; null while one runs, before the start and after the stop. */
  get nextAt(): number | null {
    return this.#nextAt
  }

  /** Runs the first probe, at once or after `startDelay`. A second call does nothing. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'started'
    const delay = this.#options.startDelay ?? 0
    if (delay > 0) this.#schedule(delay)
    else this.#begin()
  }

  /** Ends probing for good; the probe under way is aborted and its result ignored. */
  stop(): void {
    this.#state = 'stopped'
    this.#cancelNext?.()
    this.#cancelNext = null
    this.#nextAt = null
    const run = this.#run
    this.#run = null
    run?.cancelTimeout()
    run?.controller.abort()
  }

  #schedule(delay: number): void {
    this.#nextAt = this.#options.clock.wall() + delay
    // Node keeps a list for each delay: with jitter, thousands of backends would have one each.
    const rounded = delay > COARSE_ABOVE_MS ? Math.round(delay / GRAIN_MS) * GRAIN_MS : delay
    this.#cancelNext = this.#options.clock.after(rounded, () => this.#begin())
  }

  #begin(): void {
    const { clock, health } = this.#options
    this.#nextAt = null
    this.#cancelNext = null
    const controller = new AbortController()
    const run: Run = {
      controller,
      startedAt: clock.now(),
      // The probe may ignore its signal: the runner goes on without it.
      cancelTimeout: clock.after(health.timeout, () => {
        controller.abort()
        this.#settle(run, failed('timeout', `no result within ${health.timeout} ms`))
      }),
    }
    this.#run = run
    void this.#check(run, controller.signal)
  }

  async #check(run: Run, signal: AbortSignal): Promise<void> {
    let outcome: Outcome
    try {
      const { detail, drain = false } = await this.#options.probe.check(this.#target, signal)
      outcome = { ok: true, drain, reason: null, detail: shortText(detail) }
    } catch (error) {
      const { reason, message } = ProbeFailure.of(error)
      outcome = failed(reason, message)
    }
    this.#settle(run, outcome)
  }

  #settle(run: Run, outcome: Outcome): void {
    if (this.#run !== run) return
    this.#run = null
    run.cancelTimeout()
    const { clock, onResult, onHealth } = this.#options
    const record: ProbeRecord = { at: clock.wall(), ...outcome, durationMs: clock.now() - run.startedAt }
    this.#streak = this.#results.at(-1)?.ok === record.ok ? this.#streak + 1 : 1
    this.#results = [...this.#results.slice(1 - KEPT_RESULTS), record]
    const flipped = this.#decide(record.ok)
    if (flipped !== null) this.#health = flipped
    // All is in place before anyone is told: a listener may read it, or stop this runner.
    this.#schedule(Math.max(0, run.startedAt + this.#delay(record.ok) - clock.now()))
    onResult(record)
    if (flipped === null || this.#state === 'stopped') return
    onHealth(flipped, this.#streak > 1 ? `${record.detail} (${this.#streak} in a row)` : record.detail)
  }

  /**
   * | health  | result | becomes                        |
   * |---------|--------|--------------------------------|
   * | unknown | any    | what the result says           |
   * | passing | fail   | failing with `fall` in a row   |
   * | failing | pass   | passing with `rise` in a row   |
   */
  #decide(ok: boolean): 'passing' | 'failing' | null {
    const says = ok ? 'passing' : 'failing'
    if (this.#health === says) return null
    if (this.#health === 'unknown') return says
    const { rise, fall } = this.#options.health
    return this.#streak >= (ok ? rise : fall) ? says : null
  }

  /** From the start of one probe to the start of the next. */
  #delay(ok: boolean): number {
    const { interval, fastInterval, downInterval, jitter } = this.#options.health
    const passing = this.#health === 'passing'
    const steady = passing ? interval : downInterval
    const base = ok === passing ? steady : fastInterval
    if (this.#phased) return base * (1 + jitter * (2 * this.#random() - 1))
    // Backends that started together get a phase of their own, or every round would be a burst.
    this.#phased = true
    return base * this.#random()
  }
}

const failed = (reason: ProbeReason, detail: string): Outcome => ({ ok: false, drain: false, reason, detail })

/** Delay of a first probe: the first 64 run at once, in parallel, the rest evenly over the window. */
export function spreadStart(index: number, total: number, windowMs: number): number {
  if (index < AT_ONCE) return 0
  return Math.round(((index - AT_ONCE + 1) / (total - AT_ONCE)) * windowMs)
}
