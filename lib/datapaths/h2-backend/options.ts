/** What connections to a backend with HTTP/2 go by. */
import type { ServiceView } from '../contract.ts'

export interface BackendOptions {
  /** Requests of a connection in progress at once, if the backend takes so many. */
  readonly maxStreams: number
  /** Bytes of an answer that may come before its client takes them. */
  readonly streamWindow: number
  /** The same of a connection's answers together, on their way to us. */
  readonly connectionWindow: number
  readonly headerTable: number
  readonly maxContinuations: number
  /** Frames a second that move nothing. */
  readonly frameBudget: number
}

const LEAST_WINDOW = 1024 * 1024 // two streams of the largest default at once
const HEADER_TABLE = 4096 // what every encoder begins with (RFC 7541)
const MAX_CONTINUATIONS = 32 // as many as clients may send by default
const FRAME_BUDGET = 10_000 // backends answer many clients' requests on one connection: five times what a client has

export function backendOptions({ maxStreams, streamWindow }: ServiceView['http']['backendHttp2']): BackendOptions {
  return {
    maxStreams,
    streamWindow,
    connectionWindow: Math.max(LEAST_WINDOW, 2 * streamWindow),
    headerTable: HEADER_TABLE,
    maxContinuations: MAX_CONTINUATIONS,
    frameBudget: FRAME_BUDGET,
  }
}
