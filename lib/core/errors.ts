/** The one table of error codes, and the error that carries a code for machines beside its sentence for people. */

/** Who is at fault: the client, a backend, or this process. */
export type ErrorSource = 'client' | 'backend' | 'us'

interface ErrorRow {
  readonly source: ErrorSource
  /** May the same flow be tried on another backend? True only where nothing of it can have been processed. */
  readonly retry: boolean
  /** HTTP status of the answer, 0 where no answer is possible or meant. */
  readonly status: number
}

export const ERRORS = {
  CONFIG_INVALID: { source: 'us', retry: false, status: 0 },
  LISTEN_FAILED: { source: 'us', retry: false, status: 0 },
  TLS_CERTIFICATE: { source: 'us', retry: false, status: 0 },
  STATE_INVALID: { source: 'us', retry: false, status: 0 },
  RELOAD_FAILED: { source: 'us', retry: false, status: 0 },
  UPGRADE_FAILED: { source: 'us', retry: false, status: 0 },
  THREAD_DIED: { source: 'us', retry: false, status: 0 },
  BOARD_FULL: { source: 'us', retry: false, status: 0 },
  CONTROL_UNREACHABLE: { source: 'us', retry: false, status: 0 },
  AGENT_FAILED: { source: 'backend', retry: false, status: 0 },
  PROBE_FAILED: { source: 'backend', retry: false, status: 0 },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** An error with a stable code, a sentence that names place and cause, and the original error as `cause`. */
export class BalancerError extends Error {
  readonly code: ErrorCode
  readonly source: ErrorSource
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'BalancerError'
    this.code = code
    this.source = ERRORS[code].source
  }
}

/** The text of anything thrown. Errors of node carry a code that is more telling than their message's tail. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The `code` of a system error (`ECONNREFUSED`, …), or '' where there is none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
