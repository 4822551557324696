/** A configuration that can be shown. */
import type { Config } from './schema.ts'
import { isSecret, MASK } from './source.ts'

/** A deep copy with `***` in place of every secret that is set. */
export const redact = (config: Config): Config => copy(config) as Config

/** Some secret is `***`: the text was written from one that did not show it. */
export const holdsMask = (config: Config): boolean => holds(config)

function holds(value: unknown, key = ''): boolean {
  if (value === MASK) return isSecret(key)
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([name, inner]) => holds(inner, name))
}

/** The same for a part of a configuration that stands under `key`. */
export function copy(value: unknown, key = ''): unknown {
  if (isSecret(key) && typeof value === 'string' && value !== '') return MASK
  if (Array.isArray(value)) return value.map((each) => copy(each))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copy(inner, name)]))
}
