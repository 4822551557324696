/** Why a request is not served, as the client is told. */
import type { Reply } from './contract.ts'

export interface Refusal {
  readonly status: number
  /** In our own words, without anything of the input. */
  readonly detail: string
}

/** Thrown where what is set can't be forwarded. */
export class RefusedError extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(refusal.detail)
    this.name = 'RefusedError'
    this.refusal = refusal
  }
}

export const replyOf = ({ status, detail }: Refusal): Reply => ({ status, fields: [], body: '', detail })
