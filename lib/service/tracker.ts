/** Follows one backend in the control thread: keeps its facts, decides its state, and publishes each flip with its cause. */
import { isDeepStrictEqual } from 'node:util'
import { type Board, WEIGHT_UNIT } from '../board/index.ts'
import type { BackendConfig, HealthConfig, LoadConfig } from '../config/index.ts'
import type { Clock, Logger } from '../core/index.ts'
import {
  type Admits,
  acceptsOf,
  type BackendState,
  type Cause,
  type Facts,
  NO_FACTS,
  stateOf,
  stateToNumber,
  type Tier,
  type Wish,
} from '../pool/index.ts'
import { type Probe, type ProbeReason, type ProbeRecord, ProbeRunner, spreadStart } from '../probes/index.ts'
import { DurationHistogram } from '../telemetry/index.ts'
import { AgentWatch, NO_AGENT, weightBy, wishOf } from './agent-watch.ts'
import { entryOf, probedOf, type SavedBackend } from './saved.ts'
import { SlowStart } from './slow-start.ts'

export interface TrackerOptions {
  readonly service: string
  /** '': the service's own. */
  readonly pool: string
  readonly poolRow: number
  readonly backend: BackendConfig
  readonly tier: Tier
  readonly row: number
  readonly health: HealthConfig
  /** What `health` asks for; null: it is not probed. */
  readonly probe: Probe | null
  /** Its agent; undefined: it has none. */
  readonly load: LoadConfig | undefined
  readonly drainTimeoutMs: number
  /** Time in which its weight rises after a recovery. */
  readonly slowStartMs: number
  readonly board: Board
  readonly clock: Clock
  readonly log: Logger
  /** Place among all backends of the appliance, so that probes don't bunch. */
  readonly index: number
  readonly total: number
  /** What was known of its health before it was here; null: nothing. */
  readonly recalled: 'passing' | 'failing' | null
  /** The time of its drain is up: its flows are to be cut. */
  readonly onDeadline: () => void
  /** Told of each flip of the state. */
  readonly onChange?: (change: StateChange) => void
}

/** One flip of a backend's state. */
export interface StateChange {
  readonly service: string
  readonly backend: string
  readonly from: BackendState
  readonly to: BackendState
  readonly cause: Cause
  readonly why: string
  /** Wall-clock milliseconds. */
  readonly at: number
}

/** What an operator wants of it, and until when a drain may last (ms since the epoch). */
export interface OperatorWish {
  readonly admin: Wish
  readonly cause: 'operator' | 'drain-ended' | 'config'
  readonly why: string
  readonly deadline: number | null
}

/** How often it was probed, by outcome: `pass` or the reason of the failure. */
export type ProbeCounts = ReadonlyMap<ProbeReason | 'pass', number>

export class BackendTracker {
  readonly service: string
  readonly name: string
  /** As configured, or as an operator has set it. */
  weight: number
  readonly row: number
  /** ms since the epoch of the last flip. */
  since: number
  cause: Cause = 'config'
  /** The sentence behind the cause: `connect to 10.0.0.7:80 failed: ECONNREFUSED`. */
  why = 'not probed yet'
  readonly probeDurations = new DurationHistogram()
  #facts: Facts
  #state: BackendState
  #admits: Admits = 'all'
  /** Which flows it takes, as published. */
  #accepts = 0
  /** End of a drain that no operator asked for, ms since the epoch. */
  #deadline: number | null = null
  /** End of the operator's drain. */
  #operatorDeadline: number | null = null
  #cutFor: number | null = null
  #slowStart: SlowStart | null = null
  #options: TrackerOptions
  #runner: ProbeRunner | null
  #agent: AgentWatch | null
  #started = false
  readonly #probeCounts = new Map<ProbeReason | 'pass', number>()
  readonly #changes = new Map<string, number>()

  constructor(options: TrackerOptions) {
    const { service, backend, row, probe, clock } = options
    this.#options = options
    this.service = service
    this.name = backend.name
    this.weight = backend.weight
    this.row = row
    this.since = clock.wall()
    const health0 = probe === null ? 'passing' : (options.recalled ?? 'unknown')
    this.#facts = { ...NO_FACTS, health: health0, admin: backend.admin }
    this.#state = stateOf(this.#facts)
    if (probe === null) this.why = 'no probe is configured'
    else if (options.recalled !== null) this.why = `${health0} before the restart`
    if (backend.admin !== 'ready') this.why = `admin: ${backend.admin} in the configuration`
    this.#runner = probe === null ? null : this.#newRunner(probe, 'unknown')
    this.#agent = options.load === undefined ? null : this.#watchAgent(options.load)
    this.#publish()
  }

  #newRunner(probe: Probe, initial: Facts['health']): ProbeRunner {
    const { backend, health, clock, index, total } = this.#options
    return new ProbeRunner({
      probe,
      target: { host: backend.host, port: backend.port },
      health,
      clock,
      initial,
      startDelay: spreadStart(index, total, health.interval),
      onResult: (result) => this.#onResult(result),
      onHealth: (value, why) => this.#update({ health: value }, 'probe', why),
    })
  }

  /**
   * Its configuration is another one. What is known of it stays: flows and counters always, health while the same is probed,
   * what an operator wanted while its own entry reads the same (the caller looks after that).
   */
  become(options: TrackerOptions): void {
    const before = this.#options
    this.#options = options
    const { backend, health, load, probe } = options
    const moved = backend.host !== before.backend.host || backend.port !== before.backend.port
    if (entryOf(backend) !== entryOf(before.backend)) this.weight = backend.weight
    if (moved || !isDeepStrictEqual(health, before.health)) this.#probeBy(probe, before)
    if (moved || !isDeepStrictEqual(load, before.load)) {
      this.#agent?.stop()
      this.#agent = load === undefined ? null : this.#watchAgent(load)
      options.board.setLoad(this.row, options.poolRow, -1)
      this.#update({ agent: 'ready' }, 'config', 'its agent is configured anew')
      if (this.#started) this.#agent?.start()
    }
    this.#publish()
  }

  #probeBy(probe: Probe | null, before: TrackerOptions): void {
    const { backend, health } = this.#options
    const same = probedOf(backend, health) === probedOf(before.backend, before.health)
    this.#runner?.stop()
    const known = probe === null ? 'passing' : same ? this.#facts.health : 'unknown'
    this.#runner = probe === null ? null : this.#newRunner(probe, known)
    const why = probe === null ? 'no probe is configured' : 'it is to be probed otherwise'
    if (!same || probe === null) this.#update({ health: known, probeDrain: false }, 'config', why)
    if (this.#started) this.#runner?.start()
  }

  /** '': the service's own. */
  get pool(): string {
    return this.#options.pool
  }
  get tier(): Tier {
    return this.#options.tier
  }
  get host(): string {
    return this.#options.backend.host
  }
  get port(): number {
    return this.#options.backend.port
  }
  get probeType(): HealthConfig['type'] {
    return this.#options.health.type
  }
  /** See `entryOf`. */
  get entry(): string {
    return entryOf(this.#options.backend)
  }
  /** What the configuration wants of it. */
  get configured(): Wish {
    return this.#options.backend.admin
  }

  #watchAgent(load: LoadConfig): AgentWatch {
    const { service, backend, clock, log, index, total, board, row, poolRow } = this.#options
    return new AgentWatch({
      load,
      service,
      backend: backend.name,
      target: { host: backend.host, port: backend.port },
      clock,
      log,
      startDelay: spreadStart(index, total, load.interval),
      onLoad: (value) => board.setLoad(row, poolRow, value),
      onFacts: (why) => {
        this.#update({ agent: wishOf(this.agent?.facts ?? NO_AGENT) }, 'agent', why)
        this.#publish() // its weight too, or the most flows that it takes
      },
    })
  }

  /** null: it has none. */
  get agent(): AgentWatch | null {
    return this.#agent
  }
  /** What it reported of its load, 0..100; null: nothing, or nothing of late. */
  get load(): number | null {
    return this.#agent?.load ?? null
  }
  get state(): BackendState {
    return this.#state
  }
  get facts(): Facts {
    return this.#facts
  }
  get lastResults(): readonly ProbeRecord[] {
    return this.#runner?.lastResults ?? []
  }
  get streak(): number {
    return this.#runner?.streak ?? 0
  }
  get nextProbeAt(): number | null {
    return this.#runner?.nextAt ?? null
  }
  get probeCounts(): ProbeCounts {
    return this.#probeCounts
  }
  /** `from to cause` → how often. */
  get changes(): ReadonlyMap<string, number> {
    return this.#changes
  }
  get active(): number {
    return this.#options.board.active('backend', this.row)
  }

  /** What its weight counts at present, 0..256. */
  get effectiveWeight(): number {
    const weight = weightBy(this.#agent?.facts ?? NO_AGENT, this.weight)
    // As little as there is, yet not nothing: that is for a weight of 0 alone.
    return weight === 0
      ? 0
      : Math.max(1, Math.round(weight * WEIGHT_UNIT * (this.#slowStart?.share ?? 1))) / WEIGHT_UNIT
  }

  /** The most flows at once; 0: no limit. */
  get maxConnections(): number {
    return this.#agent?.facts.maxConnections ?? this.#options.backend.maxConnections
  }

  get drainTimeoutMs(): number {
    return this.#options.drainTimeoutMs
  }

  /** When the flows that are left will be cut, ms since the epoch; null: it is not draining. */
  get drainDeadline(): number | null {
    if (this.#state !== 'draining') return null
    return this.#facts.admin === 'drain' ? this.#operatorDeadline : this.#deadline
  }

  operate({ admin, cause, why, deadline }: OperatorWish): void {
    this.drainUntil(deadline)
    this.#update({ admin, drained: false }, cause, why)
  }

  /** The end of the operator's drain. */
  drainUntil(deadline: number | null): void {
    this.#operatorDeadline = deadline
  }

  /** Its service lets in these clients from now on. */
  admit(admits: Admits): void {
    this.#admits = admits
    this.#publish()
  }

  /** Flows fail on it, or may be tried again. */
  eject(ejected: boolean, why: string): void {
    this.#update({ ejected }, 'passive', why)
  }

  /** What is to survive a restart of what it knows. */
  saved(): SavedBackend {
    const { backend, health } = this.#options
    const { health: seen } = this.#facts
    return {
      config: entryOf(backend),
      probed: probedOf(backend, health),
      ...(this.weight === backend.weight ? {} : { weight: this.weight }),
      ...(this.#runner === null || seen === 'unknown' ? {} : { health: seen }),
    }
  }

  weigh(weight: number): void {
    this.weight = weight
    this.#publish()
  }

  start(): void {
    this.#started = true
    this.#runner?.start()
    this.#agent?.start()
  }

  stop(): void {
    this.#started = false
    this.#runner?.stop()
    this.#agent?.stop()
  }

  /** Looks whether flows are left, and whether the drain's time is up. Called a few times a second. */
  tick(): void {
    this.#ramp()
    if (this.#state === 'up' || this.#state === 'unknown') return
    const busy = this.active > 0
    if (busy !== this.#facts.busy)
      this.#update({ busy }, busy ? this.cause : 'drain-ended', busy ? this.why : 'the last flow ended')
    if (this.#state !== 'draining' || this.#facts.admin === 'drain') return // the operator's drain is ended by who began it
    this.#deadline ??= this.since + this.#options.drainTimeoutMs
    if (this.#options.clock.wall() < this.#deadline || this.#cutFor === this.since) return
    this.#cutFor = this.since
    this.#update({ drained: true }, this.cause, this.why)
    if (!busy) return
    this.#options.log.warn(
      { service: this.service, backend: this.name, flows: this.active },
      'drain timeout: the flows left are cut',
    )
    this.#options.onDeadline()
  }

  #update(facts: Partial<Facts>, cause: Cause, why: string): void {
    // Whether flows are left is looked up with every change, so that a failing backend is draining at once and not after a tick.
    this.#facts = { ...this.#facts, busy: this.active > 0, ...facts }
    const before = this.#state
    const state = stateOf(this.#facts)
    if (cause === 'probe') this.why = why
    if (state === before) {
      if (acceptsOf(this.#facts, this.#admits) !== this.#accepts) this.#publish()
      return
    }
    if (state !== 'draining') this.#facts = { ...this.#facts, drained: false }
    this.#state = state
    this.cause = cause
    const { slowStartMs, clock } = this.#options
    const recovers = state === 'up' && before !== 'unknown' && slowStartMs > 0
    this.#slowStart = recovers ? new SlowStart(clock, slowStartMs) : null
    if (cause !== 'drain-ended') this.why = why
    this.since = this.#options.clock.wall()
    // What was left of an earlier drain is void.
    this.#deadline = state === 'draining' ? this.since + this.#options.drainTimeoutMs : null
    const key = `${before} ${state} ${cause}`
    this.#changes.set(key, (this.#changes.get(key) ?? 0) + 1)
    this.#publish()
    const level = state === 'down' || (state === 'draining' && cause === 'probe') ? 'warn' : 'info'
    this.#options.log[level](
      { service: this.service, backend: this.name, from: before, to: state, cause },
      `backend ${this.service}/${this.name} is ${state}: ${why}`,
    )
    const { service, name: backend, since: at } = this
    this.#options.onChange?.({ service, backend, from: before, to: state, cause, why, at })
  }

  #publish(): void {
    const { board, poolRow } = this.#options
    this.#accepts = acceptsOf(this.#facts, this.#admits)
    board.publish(this.row, poolRow, {
      state: stateToNumber(this.#state),
      accepts: this.#accepts,
      weight: Math.round(this.effectiveWeight * WEIGHT_UNIT),
      most: this.maxConnections,
    })
  }

  /** The next step of the slow start, when it is time. */
  #ramp(): void {
    if (this.#slowStart?.rise() !== true) return
    if (this.#slowStart.share === 1) this.#slowStart = null
    this.#publish()
  }

  #onResult(result: ProbeRecord): void {
    const key = result.ok ? 'pass' : (result.reason ?? 'other')
    this.#probeCounts.set(key, (this.#probeCounts.get(key) ?? 0) + 1)
    this.probeDurations.observe(result.durationMs / 1000)
    if (result.ok && result.drain !== this.#facts.probeDrain)
      this.#update({ probeDrain: result.drain }, 'probe', result.detail)
  }
}
