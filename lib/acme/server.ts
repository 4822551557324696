/** Talks to one ACME authority: its directory, nonces, signed requests and their answers (RFC 8555 §6 and §7.1). */
import type { KeyObject } from 'node:crypto'
import { HttpFailure, type HttpResponse, httpRequest } from '../core/index.ts'
import { type Json, objectOf, parseJson, textOf } from './json.ts'
import { signRequest } from './jws.ts'
import { AcmeFailure, sentenceOf, typeOf } from './problem.ts'

const REQUEST_MS = 30_000
const MAX_NONCES = 10
const NONCE_TRIES = 10 // an authority may have forgotten those that we keep
const MAX_WAIT_MS = 7 * 86_400_000 // the longest window of a rate limit that is known

export interface ServerOptions {
  /** URL of the directory. */
  readonly directory: string
  /** PEM text of the authorities that sign its certificate. undefined: those of the runtime. */
  readonly ca: string | undefined
  readonly agent: string
  /** Ends what is under way. */
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly json: Json
  readonly text: string
  /** '': none. */
  readonly location: string
  /** ms that it wants us to wait before we ask again; 0: it says nothing. */
  readonly retryAfterMs: number
}

type Resource = 'newNonce' | 'newAccount' | 'newOrder'

export class AcmeServer {
  readonly #options: ServerOptions
  readonly #nonces: string[] = []
  #directory: Promise<Json> | null = null

  constructor(options: ServerOptions) {
    this.#options = options
  }

  /** What it says of itself: terms of service, whether accounts must be known to it. */
  async meta(): Promise<Json> {
    return objectOf(await this.#resources(), 'meta')
  }

  async url(resource: Resource): Promise<string> {
    const url = textOf(await this.#resources(), resource)
    if (url === '') throw new AcmeFailure(`${this.#options.directory} is no ACME directory: it has no ${resource}`)
    return url
  }

  /**
   * @param payload null: a POST-as-GET
   * @param kid of the account; null: before there is one
   * @throws AcmeFailure
   */
  async post(url: string, payload: unknown, key: KeyObject, kid: string | null): Promise<Answer> {
    for (let n = 1; ; n++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce())
      const body = JSON.stringify(signRequest({ key, url, nonce, kid }, payload))
      const response = await this.#request(url, 'POST', body)
      const answer = answerOf(response)
      if (response.status < 400) return answer
      if (typeOf(answer.json) === 'badNonce' && n < NONCE_TRIES) continue
      throw failureOf(url, answer)
    }
  }

  #resources(): Promise<Json> {
    this.#directory ??= this.#fetchDirectory().catch((error: unknown) => {
      this.#directory = null // it is asked again next time
      throw error
    })
    return this.#directory
  }

  async #fetchDirectory(): Promise<Json> {
    const response = await this.#request(this.#options.directory, 'GET')
    const answer = answerOf(response)
    if (response.status !== 200) throw failureOf(this.#options.directory, answer)
    return answer.json
  }

  async #newNonce(): Promise<string> {
    const url = await this.url('newNonce')
    const response = await this.#request(url, 'HEAD')
    const nonce = this.#nonces.pop()
    if (nonce === undefined) throw failureOf(url, answerOf(response), 'there is no nonce in the answer')
    return nonce
  }

  async #request(url: string, method: string, body?: string): Promise<HttpResponse> {
    const { ca, agent, signal } = this.#options
    const at = URL.canParse(url) ? new URL(url) : null
    if (at?.protocol !== 'https:') throw new AcmeFailure(`the authority names ${url.slice(0, 200)}, which is not https`)
    try {
      const response = await httpRequest({
        origin: at.origin,
        path: at.pathname + at.search,
        method,
        headers: { 'user-agent': agent, ...(body === undefined ? {} : { 'content-type': 'application/jose+json' }) },
        ...(body === undefined ? {} : { body }),
        connect: ca === undefined ? {} : { ca },
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
      })
      const nonce = response.headers['replay-nonce']
      if (typeof nonce === 'string' && this.#nonces.length < MAX_NONCES) this.#nonces.push(nonce)
      return response
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error
      const why = error.reason === 'aborted' ? 'no answer in time' : error.message
      throw new AcmeFailure(`${at.host}: ${why}`, { cause: error })
    }
  }
}

function answerOf({ status, headers, body }: HttpResponse): Answer {
  const location = headers['location']
  return {
    status,
    json: parseJson(body),
    text: body,
    location: typeof location === 'string' ? location : '',
    retryAfterMs: waitOf(headers['retry-after'], Date.now()),
  }
}

/** Seconds or a date (RFC 9110 §10.2.3). */
export function waitOf(field: string | string[] | undefined, now: number): number {
  if (typeof field !== 'string') return 0
  const ms = /^\d{1,9}$/.test(field) ? Number(field) * 1000 : Date.parse(field) - now
  return Number.isNaN(ms) ? 0 : Math.min(MAX_WAIT_MS, Math.max(0, ms))
}

function failureOf(url: string, { status, json, retryAfterMs }: Answer, why = ''): AcmeFailure {
  const sentence = sentenceOf(json) || why || `it answered ${status}`
  return new AcmeFailure(`${new URL(url).host}: ${sentence}`, { type: typeOf(json), retryAfterMs, status })
}
