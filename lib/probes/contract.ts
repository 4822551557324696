/** What a probe promises: to resolve when the backend passes, to reject with a `ProbeFailure` when it doesn't. */
import { type Address, BalancerError, messageOf, shortText } from '../core/index.ts'

export interface ProbeResult {
  /** What was seen, in a few words: `HTTP 200`. */
  readonly detail: string
  /** It passes and asks for no new flows. */
  readonly drain?: true
}

/** Whom a probe asks about, for those that tell it on. */
export interface ProbeNames {
  readonly service: string
  readonly backend: string
}

export interface Probe {
  /** Asks once. An aborted signal rejects soon with reason `timeout`; every socket and timer is gone soon after. */
  check(target: Address, signal: AbortSignal): Promise<ProbeResult>
}

/** Why a probe failed; a closed list, because it is a label in metrics. */
export const PROBE_REASONS = [
  'connect',
  'timeout',
  'reset',
  'closed',
  'status',
  'body',
  'protocol',
  'tls',
  'other',
] as const
export type ProbeReason = (typeof PROBE_REASONS)[number]

/** A text from a peer that knows a secret of ours, with the secret taken out. */
export const withoutSecret = (text: string, secret: string | undefined): string =>
  secret === undefined || secret === '' ? text : text.replaceAll(secret, '***')

/** A failed probe: a reason for machines, a short line for people that holds no secret. */
export class ProbeFailure extends BalancerError {
  readonly reason: ProbeReason
  constructor(reason: ProbeReason, text: string, cause?: unknown) {
    super('PROBE_FAILED', shortText(text), { cause })
    this.name = 'ProbeFailure'
    this.reason = reason
  }
  /** Anything thrown as a failure of a probe. */
  static of(error: unknown): ProbeFailure {
    return error instanceof ProbeFailure ? error : new ProbeFailure('other', messageOf(error), error)
  }
}
