/** Why an ACME authority says no: a problem document (RFC 7807, RFC 8555 §6.7), in one sentence. */
import { type Json, listOf, textOf } from './json.ts'

const PREFIX = 'urn:ietf:params:acme:error:'
const MAX_CHARS = 500

const TOO_MANY = 429

interface AcmeFacts {
  readonly type?: string
  readonly retryAfterMs?: number
  /** Of the answer. */
  readonly status?: number
  readonly cause?: unknown
}

export class AcmeFailure extends Error {
  /** Such as `rateLimited`; '': it was none of the authority's. */
  readonly type: string
  /** Milliseconds that it wants us to wait; 0: it says nothing. */
  readonly retryAfterMs: number
  /** The authority does not know what it was asked about, or won't hear of it again. */
  readonly final: boolean
  constructor(message: string, { type = '', retryAfterMs = 0, status = 0, cause }: AcmeFacts = {}) {
    super(message, { cause })
    this.name = 'AcmeFailure'
    this.type = type
    this.retryAfterMs = retryAfterMs
    this.final = status >= 400 && status < 500 && status !== TOO_MANY
  }
}

export const typeOf = (problem: Json): string => {
  const type = textOf(problem, 'type')
  return type.startsWith(PREFIX) ? type.slice(PREFIX.length) : type
}

/** `rateLimited: too many certificates`, with what it says of each name. */
export function sentenceOf(problem: Json): string {
  const parts = [problem, ...listOf(problem, 'subproblems')].map((each) => {
    const detail = textOf(each, 'detail')
    return [typeOf(each), detail].filter((text) => text !== '').join(': ')
  })
  return parts
    .filter((text) => text !== '')
    .join('; ')
    .slice(0, MAX_CHARS)
}
