/** A configuration that can be shown. */
import type { Config } from './schema.ts'
import { isSecret } from './source.ts'

/** A deep copy with `***` in place of every secret that is set. */
export const redact = (config: Config): Config => copy(config) as Config

function copy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const secret = isSecret(key) && typeof inner === 'string' && inner !== ''
      return [key, secret ? '***' : copy(inner)]
    }),
  )
}
