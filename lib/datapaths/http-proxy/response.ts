/** What an answer's head means, from what node:http read of it. HTTP.md 16. */
import type { IncomingMessage } from 'node:http'
import type { ServiceView } from '../contract.ts'
import { type Field, type Framing, fieldsOf, isRefusal, oversized, readFraming } from './fields.ts'

export interface ResponseHead {
  readonly status: number
  readonly phrase: string
  readonly fields: readonly Field[]
  readonly framing: Framing
}

/** Of any answer, interim ones included. */
export interface RawAnswer {
  readonly status: number
  readonly phrase: string
  readonly minor: number
  readonly rawHeaders: readonly string[]
}

const PHRASE = /^[\t\x20-\x7e\x80-\xff]{0,1024}$/ // node's parser takes any byte

/** Null: not an answer that may go on. */
export function readAnswer(answer: RawAnswer, { maxFields, maxHead }: ServiceView['http']): ResponseHead | null {
  const { status, phrase, minor, rawHeaders } = answer
  if (status > 599 || minor > 1 || !PHRASE.test(phrase)) return null
  const fields = fieldsOf(rawHeaders)
  if (oversized(fields, maxFields, maxHead) !== null) return null
  const framing = readFraming(fields, minor)
  return isRefusal(framing) ? null : { status, phrase, fields, framing }
}

export const rawAnswer = (answer: IncomingMessage): RawAnswer => ({
  status: answer.statusCode ?? 0,
  phrase: answer.statusMessage ?? '',
  minor: answer.httpVersionMajor === 1 ? answer.httpVersionMinor : 9, // another major version is none of ours
  rawHeaders: answer.rawHeaders,
})
