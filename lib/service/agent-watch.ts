/** What a backend's own agent wants of it, from report to report: only the agent undoes what the agent did. */
import { type AgentRecord, type AgentReport, AgentRunner, createAgent } from '../agents/index.ts'
import type { LoadConfig } from '../config/index.ts'
import type { Address, Clock, Logger } from '../core/index.ts'
import type { Facts } from '../pool/index.ts'

const MOST_WEIGHT = 256

/** What holds by now; what a report does not speak of stays. */
export interface AgentFacts {
  readonly health: 'up' | 'down'
  readonly admin: 'ready' | 'drain' | 'maint'
  readonly weight: AgentReport['weight']
  /** 0: no limit; null: as configured. */
  readonly maxConnections: number | null
}

export const NO_AGENT: AgentFacts = { health: 'up', admin: 'ready', weight: null, maxConnections: null }

export const afterReport = (facts: AgentFacts, report: AgentReport): AgentFacts => ({
  health: report.health ?? facts.health,
  admin: report.admin ?? facts.admin,
  weight: report.weight ?? facts.weight,
  maxConnections: report.maxConnections ?? facts.maxConnections,
})

/** As one of the facts about the backend. */
export function wishOf({ health, admin }: AgentFacts): Facts['agent'] {
  if (admin === 'maint') return 'maintenance'
  return health === 'down' ? 'down' : admin
}

/** The configured weight as the agent changes it, 0..256. */
export function weightBy({ weight }: AgentFacts, configured: number): number {
  if (weight === null) return configured
  return Math.min(MOST_WEIGHT, 'absolute' in weight ? weight.absolute : (configured * weight.percent) / 100)
}

export interface AgentWatchOptions {
  readonly load: LoadConfig
  readonly service: string
  readonly backend: string
  readonly target: Address
  readonly clock: Clock
  readonly log: Logger
  readonly startDelay: number
  /** The load, smoothed, 0..100; -1: not known. */
  readonly onLoad: (load: number) => void
  /** The facts are other ones now. */
  readonly onFacts: (why: string) => void
}

export class AgentWatch {
  readonly type: LoadConfig['type']
  readonly #options: AgentWatchOptions
  readonly #runner: AgentRunner
  #facts = NO_AGENT
  #ignored = ''

  constructor(options: AgentWatchOptions) {
    const { load, target, clock, startDelay } = options
    this.type = load.type
    this.#options = options
    this.#runner = new AgentRunner({
      agent: createAgent(load),
      target,
      load,
      clock,
      startDelay,
      onReport: (report) => this.#take(report),
      onLoad: (value) => options.onLoad(value ?? -1),
      onTrouble: (detail) => this.#tell(detail),
    })
  }

  get facts(): AgentFacts {
    return this.#facts
  }
  /** 0..100, smoothed; null: it tells none, or has not of late. */
  get load(): number | null {
    return this.#runner.load
  }
  /** How the last question ended; null: none has yet. */
  get last(): AgentRecord | null {
    return this.#runner.last
  }

  start(): void {
    this.#runner.start()
  }

  stop(): void {
    this.#runner.stop()
  }

  #take(report: AgentReport): void {
    const { log, service, backend } = this.#options
    if (report.ignored !== this.#ignored && report.ignored !== '')
      log.warn(
        { service, backend },
        `the agent of ${service}/${backend} says ${JSON.stringify(report.ignored)}, which is ignored`,
      )
    this.#ignored = report.ignored
    const before = this.#facts
    this.#facts = afterReport(before, report)
    if (JSON.stringify(this.#facts) === JSON.stringify(before)) return
    this.#options.onFacts(sentence(this.#facts, report.reason))
  }

  #tell(detail: string): void {
    const { log, service, backend } = this.#options
    const who = `the agent of ${service}/${backend}`
    if (detail === '') log.info({ service, backend }, `${who} answers again`)
    else log.warn({ service, backend }, `${who} can't be asked: ${detail}; what it said last holds`)
  }
}

/** `agent: down, 50% (disk full)` */
function sentence({ health, admin, weight, maxConnections }: AgentFacts, reason: string): string {
  const parts: string[] = []
  if (health === 'down') parts.push('down')
  if (admin !== 'ready') parts.push(admin)
  if (parts.length === 0) parts.push('ready')
  if (weight !== null) parts.push('absolute' in weight ? `weight ${weight.absolute}` : `${weight.percent}%`)
  if (maxConnections !== null) parts.push(`maxconn ${maxConnections}`)
  return `agent: ${parts.join(', ')}${reason === '' ? '' : ` (${reason})`}`
}
