/** `header`: a client is known by the value of a request field. */
import { KeyedAffinity, KIND } from './bound.ts'
import type { AffinityTools, AffinityView, BuiltAffinity, HttpSide } from './contract.ts'

class HeaderAffinity extends KeyedAffinity implements HttpSide {
  readonly field: string
  readonly hides = false
  readonly learns = false

  constructor(view: AffinityView, tools: AffinityTools) {
    super(KIND.header, view, tools)
    this.field = view.name.toLowerCase()
  }

  keyIn(value: string): string {
    return value
  }
  forwarded(value: string): string {
    return value
  }
  learn(): void {}
  mark(): string {
    return ''
  }
}

export function header(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  const affinity = new HeaderAffinity(view, tools)
  return { affinity, http: affinity, stream: null }
}
