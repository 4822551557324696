/** Lets requests in or refuses them, by rules of which the first that is met decides. */
import { isIP } from 'node:net'
import { type Condition, compileCondition, type Test } from './conditions.ts'
import type { Filter, Reply, RequestView } from './contract.ts'
import { replyOf } from './refusal.ts'

/** One of the two. */
export interface AccessRule {
  readonly allow?: Condition | undefined
  readonly deny?: Condition | undefined
}

export interface AccessOptions {
  readonly rules: readonly AccessRule[]
  /** When no rule is met. */
  readonly default: 'allow' | 'deny'
  readonly status: 403 | 404
}

export function access({ rules, default: fallback, status }: AccessOptions): Filter {
  const denied = replyOf({ status, detail: status === 404 ? 'there is nothing here' : 'access is denied' })
  const rows = rules.map(({ allow, deny }): { test: Test | null; answer: Reply | undefined } => ({
    test: compileCondition(allow ?? deny ?? {}),
    answer: allow !== undefined ? undefined : denied,
  }))
  const last = fallback === 'allow' ? undefined : denied
  const byAddress = rules.some(({ allow, deny }) => (allow ?? deny)?.from !== undefined)
  return {
    onRequest(request: RequestView): Reply | undefined {
      // An address that can't be read meets no rule, so a rule that denies it would fail open.
      if (byAddress && isIP(request.clientAddress) === 0) return denied
      for (const { test, answer } of rows) if (test === null || test(request, request.path)) return answer
      return last
    },
  }
}
