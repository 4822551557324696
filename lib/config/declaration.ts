/** The schema as plain data: which keys an object has, what they mean, which values they take. */
import { z } from 'zod'
import type { Path } from './path.ts'
import { configSchema } from './schema.ts'

/** The part of JSON Schema that the declaration of the options uses. */
export interface Declared {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, Declared>>
  readonly required?: readonly string[]
  readonly propertyNames?: Declared
  readonly additionalProperties?: Declared | boolean
  readonly items?: Declared
  readonly anyOf?: readonly Declared[]
  /** Part of the contract, refused until its feature is built. */
  readonly deprecated?: boolean
  /** Ours: words of `enum` that are refused until they are built. */
  readonly unavailable?: readonly string[]
  /** Ours, for zod drops `examples` of what is transformed: how it is written. */
  readonly samples?: readonly string[]
  /** Ours: what the documentation calls the type. */
  readonly kind?: string
}

let cached: Declared | undefined

export function declaration(): Declared {
  cached ??= z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) as Declared
  return cached
}

/** What is declared at a path of the configuration, undefined where nothing is. */
export function declaredAt(path: Path): Declared | undefined {
  let at: Declared | undefined = declaration()
  for (const step of path) at = at === undefined ? undefined : below(at, step)
  return at
}

function below(at: Declared, step: string | number): Declared | undefined {
  for (const option of [at, ...(at.anyOf ?? [])]) {
    if (typeof step === 'number' && option.items !== undefined) return option.items
    const properties = option.properties ?? {}
    if (typeof step === 'string' && Object.hasOwn(properties, step)) return properties[step]
    if (typeof option.additionalProperties === 'object') return option.additionalProperties
  }
  return undefined
}

/** The keys of an object that may be set, or undefined where any key may. */
export function propertiesOf(at: Declared | undefined): Readonly<Record<string, Declared>> | undefined {
  return at?.properties ?? at?.anyOf?.find((option) => option.properties !== undefined)?.properties
}

/** The words that are accepted now. */
export const wordsOf = (at: Declared | undefined): string[] =>
  (at?.enum ?? []).map(String).filter((word) => at?.unavailable?.includes(word) !== true)
