/** Carries operators' verbs out on appliance, services and backends, and remembers them across restarts. */
import { BalancerError, type Clock, type Logger } from '../core/index.ts'
import type { ServiceGate } from '../datapaths/index.ts'
import { ApplianceHands, BackendHands, ServiceHands, type World } from './hands.ts'
import type { RunningService } from './manager.ts'
import type { Verb } from './operations.ts'
import type { Recalled } from './saved.ts'
import { type Order, type Outcome, type SavedStanding, Subject } from './subject.ts'
import type { BackendTracker } from './tracker.ts'

/** Nothing: the appliance. */
export interface Target {
  readonly service?: string
  readonly backend?: string
}

/** A change that an operator made, or the end of a drain. */
export interface OperationChange {
  /** '': the appliance; `service`, `service/backend`. */
  readonly target: string
  readonly subject: Subject
}

export interface OperatorOptions {
  readonly services: ReadonlyMap<string, RunningService>
  readonly world: World
  readonly drainTimeoutMs: number
  readonly clock: Clock
  readonly log: Logger
  /** What was saved by an earlier run. */
  readonly recalled: Recalled
  /** Writes everything; answers why it could not, or null. */
  readonly save: () => Promise<string | null>
  readonly onChange: (change: OperationChange) => void
}

const LOOK_MS = 1000

export class Operator {
  readonly appliance: Subject
  readonly services = new Map<string, Subject>()
  /** By `service/backend`. */
  readonly backends = new Map<string, Subject>()
  readonly #options: OperatorOptions
  readonly #hands = new Map<string, ServiceHands>()
  readonly #trackers = new Map<string, BackendTracker>()
  #lookedAt = 0

  constructor(options: OperatorOptions) {
    this.#options = options
    const { services, world, recalled } = options
    const known = recalled.appliance?.operations ?? 'started'
    for (const service of services.values()) {
      const hands = new ServiceHands(service, world)
      this.#hands.set(service.name, hands)
      hands.begin(recalled.services.get(service.name)?.operations ?? 'started', known)
    }
    const hands = new ApplianceHands([...this.#hands.values()], options.drainTimeoutMs)
    this.appliance = this.#subject('', 'the appliance', hands, () => null)
    this.#restore(this.appliance, recalled.appliance)
    for (const service of services.values()) this.#addService(service)
  }

  #addService(service: RunningService): void {
    const { world, recalled, clock } = this.#options
    const { name, trackers } = service
    const hands = this.#hands.get(name) as ServiceHands
    const above = (): string | null => suspended('the appliance', this.appliance)
    const subject = this.#subject(name, name, hands, above)
    this.services.set(name, subject)
    this.#restore(subject, recalled.services.get(name))
    for (const tracker of trackers) {
      const key = `${name}/${tracker.name}`
      const backendHands = new BackendHands(tracker, service, world)
      const backend = this.#subject(key, key, backendHands, () => above() ?? suspended(name, subject))
      this.backends.set(key, backend)
      this.#trackers.set(key, tracker)
      const saved = recalled.backends.get(key)
      const configured = tracker.facts.admin
      if (saved?.weight !== undefined) tracker.weigh(saved.weight)
      if (saved?.standing !== undefined) {
        const { operations, deadline, last } = saved.standing
        this.#restore(backend, saved.standing)
        const by = last === null ? 'as before the restart' : `${last.verb} by ${last.by}, before the restart`
        backendHands.begin(operations, deadline, by)
      } else if (configured !== 'ready') {
        const draining = configured === 'drain'
        backendHands.configured = draining
        const deadline = draining ? clock.wall() + tracker.drainTimeoutMs : null
        const operations = draining ? 'draining' : 'stopped'
        this.#restore(backend, { operations, control: 'active', deadline, last: null })
        tracker.drainUntil(deadline)
      }
    }
  }

  #restore(subject: Subject, saved: SavedStanding | null | undefined): void {
    if (saved !== null && saved !== undefined) subject.restore(saved)
  }

  #subject(
    target: string,
    name: string,
    hands: ServiceHands | ApplianceHands | BackendHands,
    refusal: () => string | null,
  ): Subject {
    const { clock, log, save, onChange } = this.#options
    const subject: Subject = new Subject({
      name,
      hands,
      clock,
      log,
      refusal,
      save,
      onChange: () => onChange({ target, subject }),
    })
    return subject
  }

  /** How each service begins in a data thread. */
  gates(): Record<string, ServiceGate> {
    return Object.fromEntries([...this.#hands].map(([name, hands]) => [name, hands.gate]))
  }

  find({ service, backend }: Target): Subject | undefined {
    if (service === undefined) return this.appliance
    return backend === undefined ? this.services.get(service) : this.backends.get(`${service}/${backend}`)
  }

  /** What stands above a subject and keeps flows from it; '': nothing. */
  overruled({ service, backend }: Target): string {
    if (service === undefined) return ''
    const over = (what: string, { standing }: Subject): string =>
      standing.operations === 'started' ? '' : `${what} is ${standing.operations}`
    const own = this.services.get(service)
    const byService = backend === undefined || own === undefined ? '' : over(`service ${service}`, own)
    return over('the appliance', this.appliance) || byService
  }

  async run(target: Target, verb: Verb, order: Order): Promise<Outcome> {
    const subject = this.#find(target)
    const outcome = await subject.run(verb, order)
    const overruled = verb === 'start' && !outcome.refused ? this.overruled(target) : ''
    return overruled === '' ? outcome : { ...outcome, sentence: `${outcome.sentence}; ${overruled}` }
  }

  /** Changes the weight of a backend. */
  weigh(target: Target, weight: number, order: Order): Promise<Outcome> {
    const subject = this.#find(target)
    const tracker = this.#trackers.get(`${target.service}/${target.backend}`)
    if (tracker === undefined) throw new BalancerError('CONFIG_INVALID', 'only a backend has a weight')
    return subject.inTurn(async () => {
      const refusal = subject.refusal()
      const plain = { changed: false, refused: refusal !== null, cut: 0, unsaved: null }
      if (refusal !== null) return { ...plain, sentence: `refused: ${refusal}` }
      const before = tracker.weight
      if (before === weight) return { ...plain, sentence: `the weight is ${weight} already` }
      tracker.weigh(weight)
      const sentence = `the weight is ${weight}, it was ${before}`
      return { ...plain, changed: true, sentence, unsaved: await subject.note('weight', order, sentence) }
    })
  }

  #find(target: Target): Subject {
    const subject = this.find(target)
    if (subject === undefined) throw new BalancerError('CONFIG_INVALID', 'there is no such service or backend')
    return subject
  }

  /** Looks after the drains. Called a few times a second. */
  tick(): void {
    const { clock } = this.#options
    const looks = clock.now() - this.#lookedAt >= LOOK_MS
    if (looks) this.#lookedAt = clock.now()
    for (const subject of this.#subjects()) {
      subject.tick()
      if (looks) subject.look().catch(() => {}) // a thread that dies has no flows to tell of
    }
  }

  *#subjects(): Generator<Subject> {
    yield this.appliance
    yield* this.services.values()
    yield* this.backends.values()
  }
}

const suspended = (what: string, { standing }: Subject): string | null =>
  standing.control === 'suspended'
    ? `control of ${what === 'the appliance' ? what : `service ${what}`} is suspended`
    : null
