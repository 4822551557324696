/** What a load agent promises: to ask a backend once, and to tell what it said. Following it over time is the runner's job. */
import { type Address, BalancerError, messageOf, shortText } from '../core/index.ts'

/** What was said in one answer; null: nothing of that, what held before still does. */
export interface AgentReport {
  /** 0 (idle) to 100. */
  readonly load: number | null
  /** Of the configured weight in per cent, or in its place. */
  readonly weight: { readonly percent: number } | { readonly absolute: number } | null
  /** 0: no limit. */
  readonly maxConnections: number | null
  readonly admin: 'ready' | 'drain' | 'maint' | null
  readonly health: 'up' | 'down' | null
  /** What it says of its health, as text for people; '': nothing. */
  readonly reason: string
  /** The first word that means nothing, as it came; '': all do. */
  readonly ignored: string
}

export interface LoadAgent {
  /**
   * Asks once. An aborted signal rejects soon; every socket and timer is gone soon after.
   * @throws AgentFailure when there is no whole answer that means something
   */
  ask(target: Address, signal: AbortSignal): Promise<AgentReport>
}

/** No answer, or none that means something: a short line for people. It changes nothing about the backend. */
export class AgentFailure extends BalancerError {
  constructor(text: string, cause?: unknown) {
    super('AGENT_FAILED', shortText(text), { cause })
    this.name = 'AgentFailure'
  }
  static of(error: unknown): AgentFailure {
    return error instanceof AgentFailure ? error : new AgentFailure(messageOf(error), error)
  }
}

export const SILENT: AgentReport = {
  load: null,
  weight: null,
  maxConnections: null,
  admin: null,
  health: null,
  reason: '',
  ignored: '',
}
