/** One try of a request on one backend: a request of node:http that the http-proxy package makes and feeds. */
import type { ClientRequest, IncomingMessage, InformationEvent } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { ProxyServer } from 'http-proxy'
import { codeOf } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { Failure } from '../placed-flow.ts'
import { type BackendAgent, BackendStream, type BackendUser, type Dialled } from './agent.ts'
import type { Answer } from './answer.ts'

const MAX_INTERIM = 32 // 1xx answers to one request; more is a backend gone mad

/** How a try may fail, and what the client is told of it. */
export const BAD_RESPONSE: Failure = {
  status: 502,
  reason: 'bad-response',
  detail: 'the backend gave an answer that is not HTTP',
}

/** What an exchange hears of its try. */
export interface Responder {
  /** The connection is there, `uses` requests old with this one; the body may flow. */
  onSending(): void
  onInterim(answer: InformationEvent): void
  onSwitch(answer: IncomingMessage, stream: BackendStream, early: Buffer): void
  onResponse(answer: IncomingMessage): void
  onBadResponse(problem: string): void
  /** The connection broke. `begun`: a part of an answer had come. */
  onBackendGone(begun: boolean): void
  /** The backend takes more bytes of the request. */
  onBackendFlushed(): void
}

/** What goes to the backend. */
export interface Outgoing {
  readonly method: string
  readonly path: string
  readonly fields: readonly string[]
  readonly body: Readable
  /** Of an answer's head, bytes. */
  readonly maxHead: number
}

export class Attempt implements BackendUser {
  readonly backend: Backend
  readonly #responder: Responder
  #request: ClientRequest | null = null
  #stream: BackendStream | null
  #answer: IncomingMessage | null = null
  #interims = 0
  #over = false

  constructor(backend: Backend, responder: Responder, dialled: BackendStream | null) {
    this.backend = backend
    this.#responder = responder
    this.#stream = dialled
  }

  get stream(): BackendStream | null {
    return this.#stream
  }

  get complete(): boolean {
    return this.#answer?.complete === true
  }

  /** Sends; `res` is the client's answer, whose `attempt` this is. */
  send(proxy: ProxyServer, agent: BackendAgent, req: IncomingMessage, res: Answer, outgoing: Outgoing): void {
    const { host, port } = this.backend
    res.attempt = this
    const options = {
      target: { host, port, protocol: 'http:' },
      agent,
      buffer: outgoing.body,
      ssl: requestOptions(outgoing, this.#stream),
      toProxy: true, // the target goes on as it is, not normalised
      selfHandleResponse: true,
    }
    proxy.web(req, res, options, (error) => this.#failed(error))
  }

  /** http-proxy has made the request, and the agent has found a connection for it. */
  onRequest(request: ClientRequest, socket: Socket): void {
    const stream = socket as unknown
    if (!(stream instanceof BackendStream) || this.#over) {
      request.destroy()
      return
    }
    if (this.#stream !== stream) this.#stream?.destroy() // one that became idle while we dialled was taken instead
    this.#request = request
    this.#stream = stream
    stream.assign(this)
    request.on('information', (answer) => this.#interim(answer))
    request.on('upgrade', (answer, _socket, early) => {
      if (!this.#over) this.#responder.onSwitch(answer, stream, early)
    })
    request.on('response', (answer) => {
      this.#answer = answer
      answer.on('error', () => {}) // `close` without `end` says the same
      answer.on('end', () => stream.release())
      if (!this.#over) this.#responder.onResponse(answer)
    })
    this.#responder.onSending()
  }

  /** The head goes out before the body has come. */
  flush(): void {
    this.#request?.write('', 'latin1') // flushHeaders would write them as UTF-8
  }

  /** The body's trailers; before its end. */
  trailers(trailers: readonly [string, string][]): void {
    this.#request?.addTrailers(trailers)
  }

  onBackendFlushed(): void {
    if (!this.#over) this.#responder.onBackendFlushed()
  }

  #interim(answer: InformationEvent): void {
    if (this.#over) return
    if (++this.#interims > MAX_INTERIM) this.#responder.onBadResponse('too many interim answers')
    else this.#responder.onInterim(answer)
  }

  #failed(error: Error): void {
    if (this.#over || this.complete) return // of bytes behind an answer nobody needs to hear
    if (codeOf(error).startsWith('HPE_')) this.#responder.onBadResponse(codeOf(error))
    else this.#responder.onBackendGone(this.#interims > 0 || this.#stream?.begun === true)
  }

  /** The try is over. Its connection stays only when it is whole and may be used again. */
  end(reusable: boolean): void {
    if (this.#over) return
    this.#over = true
    if (reusable) return
    this.#request?.destroy()
    this.#stream?.destroy()
  }
}

/**
 * The object that http-proxy fills with the options of a request (its option `ssl`). It would copy the fields into an
 * object, which loses their order, case and repetitions, and would put the target together anew: both stay as they are here.
 */
function requestOptions({ method, path, fields, maxHead }: Outgoing, dialled: BackendStream | null): object {
  const own: Dialled & Record<string, unknown> = { maxHeaderSize: maxHead, setDefaultHeaders: false, dialled }
  for (const [name, value] of Object.entries({ method, path, headers: [...fields] }))
    Object.defineProperty(own, name, { enumerable: true, get: () => value, set: () => {} })
  return own
}
