/** The gRPC probe: asks grpc.health.v1.Health whether the server, or one service of it, is serving. */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { HealthConfig } from '../config/index.ts'
import { type Address, codeOf, formatAddress, messageOf, tlsOptions, tlsProblem } from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'
import { type Security, securityOf } from './security.ts'

const MAX_ANSWER = 16 * 1024 // an answer has 7 bytes
const MAX_FIELDS = 64 // of a head
const LINGER_MS = 1000 // for the peer's FIN
const SERVING = 1
const WORDS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']
const NO_ALPN = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'

/** @throws BalancerError for a CA file that can't be used */
export function createGrpcProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const question = requestFor(health.grpc.service)
  return {
    check: async (target, signal) => {
      if (signal.aborted) throw new ProbeFailure('timeout', 'aborted before the connect')
      const { connect } = await import('node:http2') // megabytes, for those who ask for them
      if (signal.aborted) throw new ProbeFailure('timeout', 'aborted before the connect')
      return new Question(target, security, connect).ask(question, signal)
    },
  }
}

/** HealthCheckRequest { string service = 1 }, framed as a message of gRPC. */
function requestFor(service: string): Buffer {
  const name = Buffer.from(service)
  // The schema bounds the name, so that its length and the message's are a byte or two.
  const body = name.length === 0 ? name : Buffer.concat([Buffer.of(0x0a), varint(name.length), name])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

const varint = (value: number): Buffer => (value < 128 ? Buffer.of(value) : Buffer.of((value & 127) | 128, value >> 7))

/** HealthCheckResponse { ServingStatus status = 1 }; what is absent is 0. undefined: it is none. */
function statusOf(answer: Buffer): number | undefined {
  if (answer.length < 5 || answer[0] !== 0 || answer.readUInt32BE(1) !== answer.length - 5) return undefined
  const body = answer.subarray(5)
  if (body.length === 0) return 0
  return body.length === 2 && body[0] === 0x08 && (body[1] as number) < 128 ? body[1] : undefined
}

/** One connection with one call. */
class Question {
  readonly #session: ClientHttp2Session
  readonly #socket: Socket
  readonly #secure: boolean
  #step: 'connect' | 'tls' | 'talk' = 'connect'
  #settle: (failure: ProbeFailure | null, result?: ProbeResult) => void = () => {}
  #stream: ClientHttp2Stream | null = null

  constructor(target: Address, { mode, trust }: Security, open: typeof import('node:http2').connect) {
    const { host, port } = target
    const secure = mode === 'implicit'
    this.#secure = secure
    const raw = connect({ host, port })
    this.#socket = secure ? tlsConnect({ socket: raw, ...tlsOptions(trust, host), ALPNProtocols: ['h2'] }) : raw
    raw.once('connect', () => (this.#step = secure ? 'tls' : 'talk'))
    for (const socket of new Set([raw, this.#socket])) socket.on('error', (error) => this.#onError(error))
    raw.once('close', () => this.#onClosed())
    this.#session = open(`${secure ? 'https' : 'http'}://${formatAddress(host, port)}`, {
      createConnection: () => this.#socket,
      maxHeaderListPairs: MAX_FIELDS,
      settings: { enablePush: false, initialWindowSize: MAX_ANSWER },
    })
    this.#session.on('error', (error) => this.#onError(error))
  }

  ask(question: Buffer, signal: AbortSignal): Promise<ProbeResult> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void =>
        this.#fail('timeout', this.#step === 'connect' ? 'no connection in time' : 'no answer in time')
      signal.addEventListener('abort', onAbort)
      this.#settle = (failure, result) => {
        this.#settle = () => {}
        signal.removeEventListener('abort', onAbort)
        if (failure === null && result !== undefined) {
          this.#leave()
          resolve(result)
        } else {
          this.#destroy()
          reject(failure)
        }
      }
      if (this.#secure)
        this.#socket.once('secureConnect', () => {
          const { alpnProtocol } = this.#socket as import('node:tls').TLSSocket
          if (alpnProtocol !== 'h2') this.#fail('tls', 'it does not agree on h2 in the TLS handshake (ALPN)')
          else this.#call(question)
        })
      else this.#call(question)
    })
  }

  #call(question: Buffer): void {
    this.#step = this.#secure ? 'talk' : this.#step
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'evenkeel-probe',
    })
    this.#stream = stream
    let answer: Buffer = Buffer.alloc(0)
    let head: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders = {}
    stream.on('response', (fields) => (head = fields))
    stream.on('trailers', (fields) => (trailers = fields))
    stream.on('data', (piece: Buffer) => {
      if (answer.length + piece.length > MAX_ANSWER) this.#fail('protocol', 'the answer is longer than 16 KiB')
      else answer = Buffer.concat([answer, piece])
    })
    stream.on('end', () => this.#judge(head, trailers, answer))
    stream.on('error', (error) => this.#onError(error))
    stream.end(question)
  }

  #judge(head: IncomingHttpHeaders, trailers: IncomingHttpHeaders, answer: Buffer): void {
    const http = head[':status']
    if (http === undefined) return // it was not an answer that ended
    if (Number(http) !== 200) return this.#fail('status', `HTTP ${http}`)
    const code = trailers['grpc-status'] ?? head['grpc-status']
    if (typeof code !== 'string' || !/^\d{1,2}$/.test(code)) return this.#fail('protocol', 'the answer is not gRPC')
    if (code === '12') return this.#fail('status', 'it has no grpc.health.v1.Health (UNIMPLEMENTED)')
    if (code === '5') return this.#fail('status', 'it does not know the service (NOT_FOUND)')
    if (code !== '0') return this.#fail('status', `status ${code} of gRPC`)
    const status = statusOf(answer)
    if (status === undefined) return this.#fail('protocol', 'the answer is no HealthCheckResponse')
    const word = WORDS[status] ?? `status ${status}`
    if (status === SERVING) this.#settle(null, { detail: word })
    else this.#fail('status', word)
  }

  #onError(error: Error): void {
    const code = codeOf(error)
    if (this.#step === 'connect') this.#fail('connect', `connect failed: ${code || messageOf(error)}`, error)
    else if (code === NO_ALPN) this.#fail('tls', 'it does not agree on h2 in the TLS handshake (ALPN)', error)
    else if (this.#step === 'tls' || code.startsWith('ERR_SSL')) this.#fail('tls', tlsProblem(error), error)
    else if (code === 'ECONNRESET' || code === 'EPIPE')
      this.#fail('reset', 'the connection was reset before a complete answer', error)
    else if (code === 'ERR_HTTP2_STREAM_ERROR') this.#fail('status', 'it reset the call', error)
    else if (code.startsWith('ERR_HTTP2')) this.#fail('protocol', 'what it says is not HTTP/2', error)
    else this.#fail('other', messageOf(error), error)
  }

  #onClosed(): void {
    if (this.#step === 'tls') this.#fail('tls', 'TLS handshake failed: closed')
    else
      this.#fail(this.#step === 'connect' ? 'connect' : 'closed', 'the connection was closed before a complete answer')
  }

  #fail(reason: ProbeFailure['reason'], text: string, cause?: unknown): void {
    this.#settle(new ProbeFailure(reason, text, cause))
  }

  #destroy(): void {
    this.#stream?.destroy()
    this.#session.destroy()
    this.#socket.destroy()
  }

  /** GOAWAY and FIN, and then nobody waits for long. */
  #leave(): void {
    const timer = setTimeout(() => this.#destroy(), LINGER_MS)
    timer.unref()
    this.#socket.once('close', () => clearTimeout(timer))
    this.#session.close()
    this.#session.unref()
  }
}
