/** One thing that operators start and stop: keeps its standing, carries verbs out one after the other, follows its drain. */
import { type Clock, type Logger, messageOf } from '../core/index.ts'
import { Drain, type DrainEnd, type DrainProgress } from './drain.ts'
import { answer, type Circumstances, decide, describe, STARTED, type Standing, type Verb } from './operations.ts'
import type { Turns } from './turns.ts'

/** Who wants it, and why. */
export interface Order {
  readonly by: string
  readonly reason: string
  /** How long a drain may last; null: as configured. */
  readonly timeoutMs: number | null
}

/** The last verb that changed something. */
export interface LastOrder {
  readonly verb: Verb | 'weight'
  readonly by: string
  readonly reason: string
  /** Wall-clock ms. */
  readonly at: number
}

/** What came of a verb. */
export interface Outcome {
  readonly sentence: string
  readonly changed: boolean
  readonly refused: boolean
  /** Flows that it cut. */
  readonly cut: number
  /** Why the change is not in the state file: a restart forgets it. null: it is. */
  readonly unsaved: string | null
}

/** The hands of a subject: how its standing is brought about. */
export interface Hands {
  /** Flows under way. */
  flows(): number
  /** Flows that were cut since the start. */
  cuts(): number
  /** How long its drains may last, as configured. */
  readonly timeoutMs: number
  /** Clients may be bound to it: its drains last until the deadline, for they may come back. */
  readonly binds: boolean
  /** Brings the standing about; resolves when every thread obeys it. Stopped: all flows are cut. */
  apply(standing: Standing, why: Why): Promise<void>
  /** Cuts the flows that are left, spread over a time. */
  cut(spreadMs: number): Promise<void>
  /** When the oldest flow began, ms since the epoch. */
  oldest(): Promise<number | null>
}

/** Why a standing is brought about. `deadline` of a drain, ms since the epoch. */
export interface Why {
  readonly cause: 'operator' | 'drain-ended'
  readonly sentence: string
  readonly deadline: number | null
}

/** What survives a restart. */
export interface SavedStanding extends Standing {
  readonly deadline: number | null
  readonly last: LastOrder | null
}

export interface SubjectOptions {
  /** `the appliance`, `shop`, `shop/b1` */
  readonly name: string
  readonly hands: Hands
  readonly clock: Clock
  readonly log: Logger
  /** Why verbs are refused whatever its own standing; null: they are not. */
  readonly refusal: () => string | null
  /** Writes what is to survive; answers why it could not, or null. */
  readonly save: () => Promise<string | null>
  readonly turns: Turns
  /** Told of each change that a verb, or the end of a drain, made. */
  readonly onChange: () => void
}

let drains = 0

export class Subject {
  readonly name: string
  readonly #options: SubjectOptions
  #standing: Standing = STARTED
  #drain: Drain | null = null
  #ended: DrainEnd | null = null
  #last: LastOrder | null = null
  /** The end of the verb under way: the next one waits for it. */
  #busy: Promise<unknown> = Promise.resolve()
  #ending = false

  constructor(options: SubjectOptions) {
    this.name = options.name
    this.#options = options
  }

  get standing(): Standing {
    return this.#standing
  }
  get last(): LastOrder | null {
    return this.#last
  }
  get flows(): number {
    return this.#options.hands.flows()
  }
  get drain(): DrainProgress | null {
    const { clock, hands } = this.#options
    return this.#drain?.progress(hands.flows(), clock.wall()) ?? null
  }
  /** How its last drain ended; null: there was none since the start. */
  get lastDrain(): DrainEnd | null {
    return this.#ended
  }
  get saved(): SavedStanding {
    return { ...this.#standing, deadline: this.#drain?.deadline ?? null, last: this.#last }
  }
  /** What `query` says of it. */
  get sentence(): string {
    return describe(this.#standing, this.#circumstances(null))
  }

  /** Begins with a standing that others bring about: of before, or as its changed configuration says. */
  restore({ operations, control, deadline, last }: SavedStanding): void {
    this.#endDrain('start', 0)
    this.#standing = { operations, control }
    this.#last = last
    this.#drain = operations === 'draining' ? this.#newDrain(deadline ?? 0) : null
  }

  run(verb: Verb, order: Order): Promise<Outcome> {
    return this.inTurn(() => this.#run(verb, order))
  }

  /** Runs `act` when the verbs before it have ended. */
  inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#busy.then(() => this.#options.turns.shared(act))
    this.#busy = turn.catch(() => {})
    return turn
  }

  /** Refused by something above it, or by itself. */
  refusal(): string | null {
    return this.#options.refusal() ?? (this.#standing.control === 'suspended' ? 'control is suspended' : null)
  }

  /** Notes who did what, writes it down, and tells. */
  async note(verb: LastOrder['verb'], { by, reason }: Order, sentence: string): Promise<string | null> {
    const { name, clock, log, save, onChange } = this.#options
    this.#last = { verb, by, reason, at: clock.wall() }
    log.info({ target: name, verb, by, reason }, `${name}: ${verb} by ${by}: ${sentence}${reason && ` (${reason})`}`)
    onChange()
    return save()
  }

  async #run(verb: Verb, order: Order): Promise<Outcome> {
    const { hands, clock, name, log } = this.#options
    const decision = decide(this.#standing, verb)
    const above = this.#options.refusal()
    if (above !== null || decision.refused) {
      const sentence = above === null ? answer(decision, this.#circumstances(null)) : `refused: ${above}`
      log.info({ target: name, verb, ...order }, `${name}: ${verb} by ${order.by}: ${sentence}`)
      return { sentence, changed: false, refused: true, cut: 0, unsaved: null }
    }
    if (!decision.changed) {
      const sentence = answer(decision, this.#circumstances(null))
      return { sentence, changed: false, refused: false, cut: 0, unsaved: null }
    }
    const before = hands.cuts()
    const { operations } = decision.to
    const wasStopped = this.#standing.operations === 'stopped'
    const drain = operations === 'draining' ? this.#newDrain(clock.wall() + (order.timeoutMs ?? hands.timeoutMs)) : null
    const why = `${verb} by ${order.by}${order.reason === '' ? '' : `: ${order.reason}`}`
    await hands.apply(decision.to, { cause: 'operator', sentence: why, deadline: drain?.deadline ?? null })
    if (this.#drain !== null && operations !== 'draining')
      this.#endDrain(operations === 'started' ? 'start' : 'stop', hands.cuts() - before)
    this.#standing = decision.to
    this.#drain = drain
    const cut = wasStopped || operations !== 'stopped' ? null : hands.cuts() - before
    let sentence = answer(decision, this.#circumstances(cut))
    if (drain !== null && (await this.#endWhenDone())) sentence = `${this.sentence}, no flows were left`
    const unsaved = await this.note(verb, order, sentence)
    return { sentence, changed: true, refused: false, cut: cut ?? 0, unsaved }
  }

  /** Looks whether its drain is over. Called a few times a second. */
  tick(): void {
    const drain = this.#drain
    if (drain === null || this.#ending || !this.#isOver(drain)) return
    this.#ending = true
    void this.inTurn(() => this.#finish())
      .catch((error: unknown) => {
        const { log, name } = this.#options
        log.error({ target: name, err: error }, `${name}: its drain can't be ended: ${messageOf(error)}`)
      })
      .finally(() => {
        this.#ending = false
      })
  }

  /** Asks for the age of its oldest flow, while it drains. */
  async look(): Promise<void> {
    const drain = this.#drain
    if (drain !== null) drain.oldestAt = await this.#options.hands.oldest()
  }

  #newDrain(deadline: number): Drain {
    const { clock, hands } = this.#options
    return new Drain(++drains, clock.wall(), deadline, hands.flows())
  }

  #isOver({ deadline }: Drain): boolean {
    const { hands, clock } = this.#options
    return clock.wall() >= deadline || (hands.flows() === 0 && !hands.binds)
  }

  /** Nothing was there to drain: true, and it is stopped. */
  async #endWhenDone(): Promise<boolean> {
    const { hands } = this.#options
    if (this.#drain === null || hands.binds || hands.flows() > 0) return false
    await this.#conclude('done', 0)
    return true
  }

  async #finish(): Promise<void> {
    const drain = this.#drain
    const { hands, log, name, onChange, save } = this.#options
    if (drain === null || !this.#isOver(drain)) return // a verb was faster
    const left = hands.flows()
    const before = hands.cuts()
    if (left > 0) {
      log.warn({ target: name, flows: left }, `${name}: drain timeout: the flows left are cut`)
      await hands.cut(drain.spreadMs)
    }
    await this.#conclude(left > 0 ? 'deadline' : 'done', before)
    const { cut = 0, by = 'done' } = this.#ended ?? {}
    const how = by === 'deadline' ? `at its deadline, ${cut} cut` : 'with its last flow'
    log.info({ target: name, cut, flows: drain.initial }, `${name}: the drain has ended ${how}; ${this.sentence}`)
    onChange()
    await save()
  }

  async #conclude(by: 'done' | 'deadline', before: number): Promise<void> {
    const { hands } = this.#options
    const standing: Standing = { operations: 'stopped', control: this.#standing.control }
    const sentence = by === 'done' ? 'the last flow ended' : 'the time of its drain was up'
    await hands.apply(standing, { cause: 'drain-ended', sentence, deadline: null })
    const cut = by === 'done' ? 0 : hands.cuts() - before
    this.#endDrain(cut > 0 ? 'deadline' : 'done', cut)
    this.#standing = standing
    this.#drain = null
  }

  #endDrain(by: DrainEnd['by'], cut: number): void {
    if (this.#drain !== null) this.#ended = { id: this.#drain.id, at: this.#options.clock.wall(), by, cut }
  }

  #circumstances(cut: number | null): Circumstances {
    const { hands, clock } = this.#options
    const leftMs = (this.#drain?.deadline ?? 0) - clock.wall()
    return { flows: hands.flows(), leftMs, binds: hands.binds, cut }
  }
}
