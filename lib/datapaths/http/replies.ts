/** Our own answers: short, text or JSON as Accept asks, with the request's id and nothing of the input. */
import { STATUS_CODES } from '../../core/index.ts'
import type { Reply } from '../../filters/index.ts'
import { httpDate } from './forward.ts'

const PHRASES: Readonly<Record<number, string | undefined>> = { ...STATUS_CODES, 413: 'Content Too Large' } // RFC 9110's name

export interface ReplyOptions {
  readonly status: number
  readonly id: string
  /** What was wrong, in our own words. */
  readonly detail: string
  readonly json: boolean
  readonly close: boolean
  /** HEAD: the head alone. */
  readonly headOnly: boolean
  /** Seconds after which it makes sense to ask again. Default: 2 for a 503, else none is named. */
  readonly retryAfter?: number
}

export function reply({ status, id, detail, json, close, headOnly, retryAfter }: ReplyOptions): string {
  const after = retryAfter ?? (status === 503 ? 2 : 0)
  const phrase = PHRASES[status] ?? 'Error'
  const sentence = detail === '' ? '' : `: ${detail}`
  const body = json
    ? `${JSON.stringify({ status, error: phrase, detail, requestId: id })}\n`
    : `${status} ${phrase}${sentence}\nrequest id ${id}\n`
  return (
    `HTTP/1.1 ${status} ${phrase}\r\nDate: ${httpDate()}\r\nContent-Type: ${json ? 'application/json' : 'text/plain; charset=utf-8'}\r\n` +
    `Content-Length: ${body.length}\r\nCache-Control: no-store\r\n${after > 0 ? `Retry-After: ${after}\r\n` : ''}` +
    `${status === 405 ? 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' : ''}${close ? 'Connection: close\r\n' : ''}\r\n${headOnly ? '' : body}`
  )
}

/** An answer that the configuration gives: its fields and body, framed by us. */
export function givenReply({ status, fields, body }: Reply, close: boolean, headOnly: boolean): string {
  let text = `HTTP/1.1 ${status} ${PHRASES[status] ?? ''}\r\nDate: ${httpDate()}\r\n`
  for (const [name, value] of fields) text += `${name}: ${value}\r\n`
  const bodiless = status === 204 || status === 304
  if (!bodiless) text += `Content-Length: ${body.length}\r\n`
  return `${text}${close ? 'Connection: close\r\n' : ''}\r\n${headOnly || bodiless ? '' : body}`
}
