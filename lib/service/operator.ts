/** Carries operators' verbs out on appliance, services and backends, and remembers them across restarts. */
import type { ServiceConfig } from '../config/index.ts'
import { BalancerError, type Clock, type Logger } from '../core/index.ts'
import type { ServiceGate } from '../datapaths/index.ts'
import type { RunningService } from './blueprint.ts'
import { ApplianceHands, BackendHands, bindsClients, gateOf, ServiceHands, type World } from './hands.ts'
import type { Verb } from './operations.ts'
import { NOTHING, type Recalled } from './saved.ts'
import { type Order, type Outcome, type SavedStanding, Subject } from './subject.ts'
import type { BackendTracker } from './tracker.ts'
import type { Turns } from './turns.ts'

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
  readonly turns: Turns
  readonly onChange: (change: OperationChange) => void
}

const LOOK_MS = 1000
const STANDINGS = { ready: 'started', drain: 'draining', maintenance: 'stopped' } as const

const bindsIn = (service: RunningService | undefined, pool: string): boolean =>
  service !== undefined && bindsClients(service.config, pool)

export class Operator {
  readonly appliance: Subject
  readonly services = new Map<string, Subject>()
  /** By `service/backend`. */
  readonly backends = new Map<string, Subject>()
  readonly #options: OperatorOptions
  readonly #hands = new Map<string, ServiceHands>()
  readonly #backendHands = new Map<string, BackendHands>()
  readonly #applianceHands: ApplianceHands
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
    this.#applianceHands = new ApplianceHands(this.#hands, options.drainTimeoutMs)
    this.appliance = this.#subject('', 'the appliance', this.#applianceHands, () => null)
    this.#restore(this.appliance, recalled.appliance)
    for (const service of services.values()) this.#addSubjects(service, recalled)
  }

  /** How long SIGTERM's and the appliance's drains may last. */
  set drainTimeoutMs(ms: number) {
    this.#applianceHands.timeoutMs = ms
  }

  /** A service that was not there before: as the appliance stands. */
  add(service: RunningService): void {
    const hands = new ServiceHands(service, this.#options.world)
    this.#hands.set(service.name, hands)
    hands.begin('started', this.appliance.standing.operations)
    this.#addSubjects(service, NOTHING)
  }

  /** A service has another configuration. Of backends whose entry reads the same, what operators wanted holds on. */
  change(service: RunningService, entriesBefore: ReadonlyMap<string, string>): void {
    const { name, trackers } = service
    this.#hands.get(name)?.become(service)
    const names = new Set(trackers.map((tracker) => tracker.name))
    for (const backend of entriesBefore.keys()) if (!names.has(backend)) this.#removeBackend(`${name}/${backend}`)
    for (const tracker of trackers) {
      const key = `${name}/${tracker.name}`
      const entry = entriesBefore.get(tracker.name)
      if (entry === undefined) this.#addBackend(name, tracker, NOTHING)
      else if (entry !== tracker.entry) this.#configure(key, tracker)
    }
  }

  remove(service: RunningService): void {
    this.#hands.delete(service.name)
    this.services.delete(service.name)
    for (const { name } of service.trackers) this.#removeBackend(`${service.name}/${name}`)
  }

  /** How a service will stand in the data threads under this configuration. */
  gateUnder(name: string, config: ServiceConfig): ServiceGate {
    return this.#hands.get(name)?.gateUnder(config) ?? gateOf(this.appliance.standing.operations, config)
  }

  #removeBackend(key: string): void {
    this.backends.delete(key)
    this.#trackers.delete(key)
    this.#backendHands.delete(key)
  }

  #addSubjects(service: RunningService, recalled: Recalled): void {
    const { name, trackers } = service
    const subject = this.#subject(name, name, this.#hands.get(name) as ServiceHands, this.#above)
    this.services.set(name, subject)
    this.#restore(subject, recalled.services.get(name))
    for (const tracker of trackers) this.#addBackend(name, tracker, recalled)
  }

  readonly #above = (): string | null => suspended('the appliance', this.appliance)

  #addBackend(service: string, tracker: BackendTracker, recalled: Recalled): void {
    const { world, services } = this.#options
    const key = `${service}/${tracker.name}`
    const hands = new BackendHands(tracker, (pool) => bindsIn(services.get(service), pool), world)
    const refusal = (): string | null => {
      const own = this.services.get(service)
      return this.#above() ?? (own === undefined ? null : suspended(service, own))
    }
    const subject = this.#subject(key, key, hands, refusal)
    this.backends.set(key, subject)
    this.#trackers.set(key, tracker)
    this.#backendHands.set(key, hands)
    const saved = recalled.backends.get(key)
    if (saved?.weight !== undefined) tracker.weigh(saved.weight)
    if (saved?.standing !== undefined) {
      const { operations, deadline, last } = saved.standing
      this.#restore(subject, saved.standing)
      const by = last === null ? 'as before the restart' : `${last.verb} by ${last.by}, before the restart`
      hands.begin(operations, deadline, by)
    } else if (tracker.configured !== 'ready') this.#configure(key, tracker)
  }

  /** As the configuration says. */
  #configure(key: string, tracker: BackendTracker): void {
    const operations = STANDINGS[tracker.configured]
    const deadline = operations === 'draining' ? this.#options.clock.wall() + tracker.drainTimeoutMs : null
    this.#backendHands.get(key)?.configure(operations, deadline)
    this.backends.get(key)?.restore({ operations, control: 'active', deadline, last: null })
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
    const { clock, log, save, turns, onChange } = this.#options
    const subject: Subject = new Subject({
      name,
      hands,
      clock,
      log,
      refusal,
      save,
      turns,
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
