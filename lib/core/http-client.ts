/** One bounded HTTP/1.1 exchange over undici, for everything that asks over HTTP and is not the data path. */
import { connect as netConnect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { Agent, buildConnector, Dispatcher } from 'undici'
import { codeOf, messageOf } from './errors.ts'
import { type TlsTrust, tlsOptions, tlsProblem } from './tls-client.ts'

const CONNECT_MS = 10_000 // bounds a connect that no caller's signal bounds
const MAX_HEAD_BYTES = 16 * 1024 // what node:http takes, and more than any answer to us needs
const MAX_BODY_BYTES = 1024 * 1024 // the largest status document, with room

export interface HttpRequest {
  /** `http://10.0.0.1:80` or `https://…`, without a path. */
  readonly origin: string
  /** Path and query, sent byte for byte. */
  readonly path: string
  /** Default: GET. */
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly connect?: TlsTrust
  /** Connect to this Unix socket; the origin then only gives the Host field. */
  readonly socketPath?: string
  /** The only limit on time, beside 10 s for the connect. */
  readonly signal?: AbortSignal
  /** Longest head of the answer, in bytes. Default: 16 KiB. */
  readonly maxHead?: number
  /** Most bytes of the body that are read; 0: none. Default: 1 MiB. */
  readonly maxBytes?: number
  /** Stop reading as soon as the body holds this text. */
  readonly until?: string
  /** Keep the connection for later calls; without effect beside `connect`, `socketPath` or `maxHead`. Default: false. */
  readonly reuse?: boolean
}

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  /** Reading stopped before the end of the body was seen. */
  readonly truncated: boolean
}

/** `connect` and `tls` fail before the request is sent; `closed`, `reset` and `protocol` are the answer's. */
export type HttpFailureReason = 'aborted' | 'connect' | 'tls' | 'reset' | 'closed' | 'protocol' | 'other'

/** An exchange without a usable answer. */
export class HttpFailure extends Error {
  readonly reason: HttpFailureReason
  constructor(reason: HttpFailureReason, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'HttpFailure'
    this.reason = reason
  }
}

let shared: Agent | undefined

/**
 * Sends one request and reads a bounded answer. Follows no redirect and decodes no content coding.
 * A connection that is not reused is gone when the promise settles.
 * @throws HttpFailure
 */
export async function httpRequest(request: HttpRequest): Promise<HttpResponse> {
  const { Agent, Client } = await import('undici') // 28 MB that threads which never ask don't pay for
  if (isAborted(request.signal)) throw new HttpFailure('aborted', 'aborted')
  const options = {
    allowH2: false,
    maxHeaderSize: request.maxHead ?? MAX_HEAD_BYTES,
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  let socket: Socket | undefined
  let own: Dispatcher | undefined
  try {
    let dispatcher: Dispatcher
    if (mayShare(request)) {
      shared ??= new Agent({ ...options, connect: connector(undefined, () => {}) })
      dispatcher = shared
    } else {
      own = new Client(request.origin, {
        ...options,
        ...(request.socketPath === undefined ? null : { socketPath: request.socketPath }),
        connect: connector(request.connect, (opened) => {
          socket = opened
        }),
      })
      dispatcher = own
    }
    const answered = dispatcher.request({
      origin: request.origin,
      path: request.path,
      method: request.method ?? 'GET',
      headers: request.headers ?? {},
      body: request.body ?? null,
      signal: request.signal ?? null,
      reset: own !== undefined,
    })
    const answer = await orAborted(answered, request.signal)
    const body = await readBody(answer.body, request.maxBytes ?? MAX_BODY_BYTES, request.until)
    return { status: answer.statusCode, headers: answer.headers, ...body }
  } catch (error) {
    throw isAborted(request.signal) ? new HttpFailure('aborted', 'aborted', error) : failureOf(error, socket)
  } finally {
    const gone = own?.destroy()
    socket?.destroy() // undici does not own a socket that is still connecting
    await gone
  }
}

const mayShare = ({ reuse, connect, socketPath, maxHead }: HttpRequest): boolean =>
  reuse === true && connect === undefined && socketPath === undefined && maxHead === undefined

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

/** undici heeds a signal only once it is connected. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new HttpFailure('aborted', 'aborted'))
    signal.addEventListener('abort', onAbort)
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Opens the connections, so that it is known at which step one failed. */
function connector(tls: TlsTrust | undefined, opened: (socket: Socket) => void): buildConnector.connector {
  return ({ hostname, port, protocol, socketPath }, callback) => {
    const secure = protocol === 'https:'
    const where =
      typeof socketPath === 'string'
        ? { path: socketPath }
        : { host: hostname, port: Number(port || (secure ? 443 : 80)) }
    const socket = secure
      ? tlsConnect({ ...where, ...tlsOptions(tls, hostname), ALPNProtocols: ['http/1.1'] })
      : netConnect(where)
    opened(socket)
    let connected = false
    let settled = false
    const settle = (error: Error | null): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      if (error === null) callback(null, socket)
      else if (connected) callback(new HttpFailure('tls', tlsProblem(error), error), null)
      else callback(new HttpFailure('connect', `connect failed: ${codeOf(error) || messageOf(error)}`, error), null)
    }
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS)
    timer.unref()
    socket.once('connect', () => {
      connected = true
    })
    socket.once(secure ? 'secureConnect' : 'connect', () => settle(null))
    socket.on('error', settle)
    socket.once('close', () => settle(new Error('closed')))
  }
}

/** Why an exchange failed. undici has one code for all ends of a socket; whether the peer ended it, the socket knows. */
function failureOf(error: unknown, socket: Socket | undefined): HttpFailure {
  if (error instanceof HttpFailure) return error
  const code = codeOf(error)
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return new HttpFailure('reset', 'the connection was reset before a complete answer', error)
  if (code === 'UND_ERR_SOCKET') {
    if (socket === undefined || socket.readableEnded)
      return new HttpFailure('closed', 'the connection was closed before a complete answer', error)
    return new HttpFailure('protocol', 'the answer is not usable HTTP/1.1', error)
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW')
    return new HttpFailure('protocol', 'the head of the answer is too long', error)
  if (error instanceof Error && (error.name === 'HTTPParserError' || code.startsWith('UND_ERR_RES')))
    return new HttpFailure('protocol', error.message, error)
  if (code.startsWith('ERR_SSL')) return new HttpFailure('tls', tlsProblem(error), error)
  return new HttpFailure('other', messageOf(error), error)
}

async function readBody(
  stream: Dispatcher.ResponseData['body'],
  maxBytes: number,
  until: string | undefined,
): Promise<{ body: string; truncated: boolean }> {
  stream.on('error', () => {}) // leaving early makes undici report an abort to nobody
  if (maxBytes === 0) {
    stream.destroy()
    return { body: '', truncated: true }
  }
  const needle = until === undefined ? undefined : Buffer.from(until)
  const chunks: Buffer[] = []
  let length = 0
  let tail: Buffer = Buffer.alloc(0) // as much of what was read as a match may begin in
  let truncated = false
  for await (const piece of stream) {
    const chunk = (piece as Buffer).subarray(0, maxBytes - length)
    chunks.push(chunk)
    length += chunk.length
    if (needle !== undefined) {
      const seen = Buffer.concat([tail, chunk])
      if (seen.includes(needle)) truncated = true
      tail = seen.subarray(Math.max(0, seen.length - needle.length + 1))
    }
    if (length >= maxBytes) truncated = true
    if (truncated) break
  }
  return { body: Buffer.concat(chunks).toString(), truncated }
}
