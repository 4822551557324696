/** `cookie` with `mode: insert`: a client is known by a signed cookie of ours, which names its backend. */
import type { Affinity, Backend, Flow } from '../pool/index.ts'
import type { AffinityTools, AffinityView, BuiltAffinity, HttpSide } from './contract.ts'
import { cookieIn, withoutCookie } from './cookie-field.ts'
import { type Token, Tokens } from './token.ts'

const RENEWALS = 8 // within maxIdle: a cookie that is used lives at least seven eighths of it on

/** The last Set-Cookie of a backend: all new clients of one second get the same. */
interface Made {
  readonly second: number
  readonly text: string
}

class OwnCookie implements Affinity, HttpSide {
  readonly field = 'cookie'
  readonly hides = true
  readonly learns = false
  readonly #name: string
  readonly #attributes: string
  readonly #maxIdle: number
  readonly #maxLife: number
  readonly #renewAfter: number
  readonly #tokens: Tokens
  readonly #tools: AffinityTools
  readonly #made = new Map<Backend, Made>()
  readonly #accepts = (value: string): boolean => this.#valid(value) !== null

  constructor(view: AffinityView, key: Uint8Array, tools: AffinityTools) {
    this.#name = view.name
    this.#attributes = `; Path=/; HttpOnly; SameSite=Lax${tools.secure ? '; Secure' : ''}`
    this.#maxIdle = (view.maxIdle ?? Number.POSITIVE_INFINITY) / 1000
    this.#maxLife = (view.maxLife ?? Number.POSITIVE_INFINITY) / 1000
    this.#renewAfter = this.#maxIdle / RENEWALS
    this.#tokens = new Tokens(key, `${view.scope.name}\0${view.name}`, tools.backends, view.grouped)
    this.#tools = tools
  }

  /** What a value says; null where it is forged, foreign or too old. */
  #valid(value: string): Token | null {
    const token = this.#tokens.read(value)
    if (token === null) return null
    const now = this.#tools.wall() / 1000
    return now - token.renewed > this.#maxIdle || now - token.issued > this.#maxLife ? null : token
  }

  find(flow: Flow): Backend | undefined {
    return flow.affinityKey === '' ? undefined : this.#tokens.read(flow.affinityKey)?.backend
  }
  /** The answer carries the binding. */
  bind(_flow: Flow, backend: Backend): Backend {
    return backend
  }

  /** The first that is ours: a forged one in front of it, from a neighbouring site, must not hide it. */
  keyIn(value: string): string {
    return value.includes(this.#name) ? cookieIn(value, this.#name, this.#accepts) : ''
  }
  forwarded(value: string): string | null {
    return value.includes(this.#name) ? withoutCookie(value, this.#name) : value
  }
  learn(): void {}

  mark(key: string, backend: Backend): string {
    const token = key === '' ? null : this.#tokens.read(key)
    const second = Math.floor(this.#tools.wall() / 1000)
    if (token === null || token.backend !== backend) return this.#fresh(backend, second)
    if (second - token.renewed <= this.#renewAfter) return ''
    return this.#setCookie(this.#tokens.make(backend, token.issued, second))
  }

  #fresh(backend: Backend, second: number): string {
    const made = this.#made.get(backend)
    if (made?.second === second) return made.text
    const text = this.#setCookie(this.#tokens.make(backend, second, second))
    this.#made.set(backend, { second, text })
    return text
  }

  #setCookie(token: string): string {
    return `${this.#name}=${token}${this.#attributes}`
  }
}

/** @throws RangeError without a key: control gives one to each service that needs it */
export function ownCookie(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  if (view.cookieKey === null) throw new RangeError('cookies of our own need a key')
  const affinity = new OwnCookie(view, view.cookieKey, tools)
  return { affinity, http: affinity, stream: null }
}
