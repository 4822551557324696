/** Our own answers: short, text or JSON as Accept asks, with the request's id and nothing of the input. */
import { httpDate } from './forward.ts'

const PHRASES: Record<number, string> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
}

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
