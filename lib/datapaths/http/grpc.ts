/** What an exchange that is a gRPC call has of its own: how it is told, its status, and how we say one. */
import { UNAVAILABLE } from '../placed-flow.ts'
import { OTHER } from './fields.ts'
import { httpDate } from './forward.ts'
import type { Head } from './head.ts'

const TYPE = 'application/grpc' // with a format behind `+`, or parameters; application/grpc-web is another protocol
const CONTENT_TYPE = 'content-type'
const STATUS = 'grpc-status'

const UNKNOWN = 2
/** Of ours, by the HTTP status that another client would get: as gRPC maps them, and RESOURCE_EXHAUSTED for what is too large. */
const BY_HTTP: Readonly<Record<number, number | undefined>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  408: 14,
  413: 8,
  429: 14,
  431: 8,
  501: 12,
  502: 14,
  503: 14,
  504: 14,
}

/** The value of a field that has no number of its own, or ''. Names come from HTTP/2, in small letters. */
function textOfField(head: Head, buf: Buffer, base: number, name: string): string {
  for (let i = 0; i < head.count; i++) {
    if (head.id(i) !== OTHER || head.nameEnd(i) - head.nameStart(i) !== name.length) continue
    if (buf.latin1Slice(base + head.nameStart(i), base + head.nameEnd(i)) === name)
      return buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i))
  }
  return ''
}

/** Is the request a call? */
export function isCall(head: Head, buf: Buffer, base: number): boolean {
  const type = textOfField(head, buf, base, CONTENT_TYPE)
  return (
    type.startsWith(TYPE) && (type.length === TYPE.length || type[TYPE.length] === '+' || type[TYPE.length] === ';')
  )
}

/** The status that an answer's head tells, which then is all of it; -1: none. */
export function statusInHead(head: Head, buf: Buffer, base: number): number {
  const text = textOfField(head, buf, base, STATUS)
  return /^\d{1,5}$/.test(text) ? Number(text) : -1
}

/** The status in the lines behind an answer; -1: none. */
export function statusInTrailers(lines: string): number {
  const text = /^grpc-status:[ \t]*(\d{1,5})[ \t]*$/im.exec(lines)?.[1]
  return text === undefined ? -1 : Number(text)
}

export const callStatus = (status: number): number => BY_HTTP[status] ?? UNKNOWN

/** Our own answer to a call: a status alone. */
export function callReply(status: number, detail: string, id: string): string {
  return (
    `HTTP/1.1 200 OK\r\nDate: ${httpDate()}\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n` +
    `grpc-status: ${callStatus(status)}\r\ngrpc-message: ${message(`${detail} (request id ${id})`)}\r\n\r\n`
  )
}

/** The end of an answer that is broken off, behind its last chunk: the client hears a status and not only a reset. */
export const callEnd = (detail: string): string =>
  `0\r\ngrpc-status: ${UNAVAILABLE}\r\ngrpc-message: ${message(detail)}\r\n\r\n`

/** As gRPC encodes it: printable ASCII but the percent sign. */
const message = (text: string): string =>
  text.replace(
    /[^\x20-\x24\x26-\x7e]/g,
    (char) => `%${(char.charCodeAt(0) & 255).toString(16).toUpperCase().padStart(2, '0')}`,
  )
