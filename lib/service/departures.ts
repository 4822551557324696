/** Backends and services that are no longer configured, until the last of their flows has ended or the time of their drain is up. */
import type { Clock, Logger } from '../core/index.ts'
import { spreadOf } from './drain.ts'
import type { Turns } from './turns.ts'

/** What goes. */
export interface Leaving {
  readonly service: string
  /** null: the service as a whole. */
  readonly backend: string | null
  readonly timeoutMs: number
  /** Flows that are left. */
  flows(): number
  cut(spreadMs: number): Promise<void>
  /** No flow is left. */
  gone(): Promise<void>
}

/** One of them, for people. */
export interface DepartureStatus {
  readonly service: string
  readonly backend: string | null
  /** Wall-clock ms, both. */
  readonly since: number
  readonly deadline: number
  readonly flows: number
  /** Flows when it went. */
  readonly initial: number
}

interface Departure {
  readonly leaving: Leaving
  readonly since: number
  readonly deadline: number
  readonly initial: number
  phase: 'draining' | 'cutting' | 'ending'
}

const keyOf = (service: string, backend: string | null): string =>
  backend === null ? service : `${service}/${backend}`

export class Departures {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #turns: Turns
  readonly #all = new Map<string, Departure>()

  constructor(clock: Clock, log: Logger, turns: Turns) {
    this.#clock = clock
    this.#log = log
    this.#turns = turns
  }

  add(leaving: Leaving): void {
    const { service, backend, timeoutMs } = leaving
    const since = this.#clock.wall()
    const deadline = since + timeoutMs
    const key = keyOf(service, backend)
    const initial = leaving.flows()
    this.#all.set(key, { leaving, since, deadline, initial, phase: 'draining' })
    const how = initial === 0 ? 'no flow is left' : `${initial} flows may go on for ${timeoutMs / 1000} s`
    this.#log.info({ service, backend, flows: initial }, `${key} is no longer configured: ${how}`)
  }

  /** It is configured again. */
  cancel(service: string, backend: string | null): void {
    if (this.#all.delete(keyOf(service, backend)))
      this.#log.info(
        { service, backend },
        `${keyOf(service, backend)} is configured again before its last flow has ended`,
      )
  }

  has(service: string): boolean {
    return this.#all.has(service)
  }

  status(): DepartureStatus[] {
    return [...this.#all.values()].map(({ leaving, since, deadline, initial }) => {
      const { service, backend } = leaving
      return { service, backend, since, deadline, initial, flows: leaving.flows() }
    })
  }

  /** Client connections of services that go. */
  flows(): number {
    let sum = 0
    for (const { leaving } of this.#all.values()) if (leaving.backend === null) sum += leaving.flows()
    return sum
  }

  /** Looks after them. Called a few times a second. */
  tick(): void {
    for (const [key, departure] of this.#all) {
      const { leaving, deadline, phase } = departure
      if (phase !== 'ending' && leaving.flows() === 0) {
        departure.phase = 'ending'
        void this.#end(key, departure)
      } else if (phase === 'draining' && this.#clock.wall() >= deadline) {
        departure.phase = 'cutting'
        const flows = leaving.flows()
        this.#log.warn(
          { service: leaving.service, backend: leaving.backend, flows },
          `${key}: drain timeout: the flows left are cut`,
        )
        leaving.cut(spreadOf(leaving.timeoutMs)).catch((error: unknown) => this.#failed(key, error))
      }
    }
  }

  /** Not while a reload may configure it again. */
  #end(key: string, departure: Departure): Promise<void> {
    return this.#turns.shared(async () => {
      if (this.#all.get(key) !== departure) return
      this.#all.delete(key)
      await departure.leaving.gone().catch((error: unknown) => this.#failed(key, error))
    })
  }

  #failed(key: string, error: unknown): void {
    this.#log.error({ err: error }, `what is left of ${key} could not be ended`)
  }
}
