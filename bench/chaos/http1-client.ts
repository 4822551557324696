/** Asks by HTTP/1.1, with node's own client. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'
import { codeOf } from '../../lib/core/index.ts'
import { type Ask, type Ending, endingOf } from './request.ts'

/** Longer than any limit of the balancer that ends a silence. */
export const SILENCE_MS = 12_000

export interface Http1Options {
  readonly port: number
  /** The authority of a TLS service. */
  readonly ca?: string
  readonly keepAlive: boolean
}

export class Http1Client {
  readonly #options: Http1Options
  readonly #agent: Agent

  /** One connection at a time. */
  constructor(options: Http1Options) {
    this.#options = options
    const { ca, keepAlive } = options
    this.#agent =
      ca === undefined ? new Agent({ keepAlive, maxSockets: 1 }) : new SecureAgent({ keepAlive, maxSockets: 1, ca })
  }

  ask(ask: Ask): Promise<Ending> {
    const { port, ca } = this.#options
    const request = (ca === undefined ? httpRequest : secureRequest)({
      host: '127.0.0.1',
      port,
      path: ask.path,
      method: ask.method,
      agent: this.#agent,
      ...(ask.method === 'POST' ? { headers: fieldsOf(ask) } : {}),
    })
    return new Promise((resolve) => {
      const end = (outcome: Ending['outcome'], detail = ''): void => {
        clearTimeout(timer)
        resolve({ outcome, detail })
      }
      const timer = setTimeout(() => {
        end('late')
        request.destroy()
      }, SILENCE_MS)
      request.on('error', (error) => {
        const code = codeOf(error)
        end(code === 'ECONNREFUSED' ? 'refused' : 'none', request.reusedSocket ? `${code},reused` : code)
      })
      request.on('information', () => timer.refresh())
      request.on('response', (response: IncomingMessage) => {
        const pieces: Buffer[] = []
        response.on('data', (bytes: Buffer) => {
          timer.refresh()
          pieces.push(bytes)
        })
        response.on('error', (error) => end('cut', codeOf(error)))
        response.on('end', () => {
          const ending = endingOf(ask, response.statusCode ?? 0, Buffer.concat(pieces))
          end(ending.outcome, ending.detail)
        })
      })
      if (ask.pieces) request.write(ask.body.subarray(0, ask.body.length >> 1))
      request.end(ask.pieces ? ask.body.subarray(ask.body.length >> 1) : ask.body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function fieldsOf({ body, pieces }: Ask): Record<string, string | number> {
  return pieces
    ? { 'x-size': body.length, 'transfer-encoding': 'chunked' }
    : { 'x-size': body.length, 'content-length': body.length }
}
