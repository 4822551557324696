/** `cookie` with `mode: existing`: a client is known by a cookie that its backend has set. */
import type { Backend } from '../pool/index.ts'
import { KeyedAffinity, KIND } from './bound.ts'
import type { AffinityTools, AffinityView, BuiltAffinity, HttpSide } from './contract.ts'
import { cookieIn, cookieSetBy } from './cookie-field.ts'

const notEmpty = (value: string): boolean => value !== ''

class ExistingCookie extends KeyedAffinity implements HttpSide {
  readonly field = 'cookie'
  readonly hides = false
  readonly learns = true
  readonly #name: string

  constructor(view: AffinityView, tools: AffinityTools) {
    super(KIND.cookie, view, tools)
    this.#name = view.name
  }

  keyIn(value: string): string {
    return cookieIn(value, this.#name, notEmpty)
  }
  forwarded(value: string): string {
    return value
  }
  learn(setCookie: string, backend: Backend): void {
    const value = cookieSetBy(setCookie, this.#name)
    if (value !== '') this.learnt(value, backend)
  }
  mark(): string {
    return ''
  }
}

export function existingCookie(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  const affinity = new ExistingCookie(view, tools)
  return { affinity, http: affinity, stream: null }
}
