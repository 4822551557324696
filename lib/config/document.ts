/** What the schema says, for editors (JSON Schema) and readers (docs/configuration.md). As a program it prints the latter, with `--schema` the former. */
import { fileURLToPath } from 'node:url'
import { type Declared, declaration, wordsOf } from './declaration.ts'
import { INTRODUCTION } from './introduction.ts'
import { type Part, shareParts } from './shared-parts.ts'

const ENVIRONMENT = { $ref: '#/$defs/environment' }

/** JSON Schema, draft 2020-12, of `virtual-services.yaml` as it is written: before substitution and merging. */
export function jsonSchema(): object {
  const whole = { ...declaration(), description: 'Configuration of the evenkeel load balancer.' }
  const { root, defs } = shareParts(editable(whole, false) as Part)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'evenkeel virtual-services.yaml',
    ...root,
    $defs: {
      environment: {
        description: 'Holds a reference to an environment variable, which is replaced before anything is checked.',
        type: 'string',
        pattern: '\\$\\{',
      },
      ...defs,
    },
  }
}

/** @param partial true below `defaults`, where nothing is required because the services bring it */
function editable(at: Declared, partial: boolean): object {
  const { description, default: byDefault, samples: examples, deprecated } = at
  const outside = defined({ description, default: byDefault, examples, deprecated })
  if (deprecated === true) return { ...outside, not: {} }
  const choices = (at.anyOf ?? [at]).map((choice) => alternative(choice, partial))
  if ((at.anyOf ?? [at]).some(isStrict)) choices.push(ENVIRONMENT)
  return choices.length === 1 ? { ...outside, ...choices[0] } : { ...outside, anyOf: choices }
}

/** True of a scalar that a reference to the environment would not match. */
const isStrict = (at: Declared): boolean =>
  at.type !== 'object' &&
  at.type !== 'array' &&
  (at.type !== 'string' || 'pattern' in at || 'enum' in at || 'const' in at)

function alternative(at: Declared, partial: boolean): object {
  const { properties, items, additionalProperties: more, required } = at
  const { type, minimum, maximum, minItems, maxItems, propertyNames } = at
  const words = at.enum === undefined ? undefined : wordsOf(at)
  const parts = Object.entries(properties ?? {}).map(([key, part]) => [
    key,
    editable(part, partial || part === declaration().properties?.['defaults']),
  ])
  return {
    ...defined({ type, enum: words, const: at.const, pattern: at.pattern, minLength: at.minLength }),
    ...defined({ maxLength: at.maxLength, minimum, maximum, minItems, maxItems, propertyNames }),
    ...(properties && { properties: Object.fromEntries(parts) }),
    ...(required && !partial && { required }),
    ...(items && { items: editable(items, partial) }),
    ...(more !== undefined && { additionalProperties: typeof more === 'object' ? editable(more, partial) : more }),
  }
}

const defined = (fields: Record<string, unknown>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** The text of docs/configuration.md. */
export function configurationReference(): string {
  return `${INTRODUCTION}\n${sections('', declaration()).join('\n')}`
}

/** One section for an object, then those of the objects in it. */
function sections(path: string, at: Declared): string[] {
  const rows: string[] = []
  const below: string[] = []
  for (const [key, value] of Object.entries(at.properties ?? {})) {
    const here = path === '' ? key : `${path}.${key}`
    rows.push(row(key, value, at.required?.includes(key) === true))
    if (here === 'defaults') continue // has the keys of a service, which have their section
    for (const inner of innerObjects(here, value)) below.push(...sections(inner.path, inner.at))
  }
  const title = path === '' ? '## The file' : `## \`${path}\``
  const table = ['| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n')
  return [`${title}\n\n${table}\n`, ...below]
}

function innerObjects(path: string, at: Declared): { path: string; at: Declared }[] {
  if (at.properties !== undefined) return [{ path, at }]
  if (at.items !== undefined) return innerObjects(`${path}[]`, at.items)
  if (typeof at.additionalProperties === 'object') return innerObjects(`${path}.NAME`, at.additionalProperties)
  return (at.anyOf ?? []).flatMap((option) => innerObjects(path, option))
}

function row(key: string, at: Declared, required: boolean): string {
  if (at.deprecated === true) return `| \`${key}\` | | | *Not available yet: refused when set.* |`
  const fallback = required ? '**required**' : defaultOf(at)
  const words = [at.description ?? '', bounds(at), examples(at)].filter((text) => text !== '')
  return `| \`${key}\` | ${typeName(at)} | ${fallback} | ${words.join(' ').replaceAll('|', '\\|')} |`
}

function defaultOf({ default: value }: Declared): string {
  if (value === undefined || isEmptyObject(value)) return ''
  return `\`${typeof value === 'string' && value !== '' ? value : JSON.stringify(value)}\``
}

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0

function typeName(at: Declared): string {
  if (at.kind !== undefined) return at.kind
  if (at.const !== undefined) return `\`${String(at.const)}\``
  if (at.enum !== undefined) {
    const later = at.unavailable ?? []
    const words = wordsOf(at).map((word) => `\`${word}\``)
    return `${words.join(', ')}${later.length > 0 ? ` *(not available yet: ${later.join(', ')})*` : ''}`
  }
  if (at.anyOf !== undefined) return [...new Set(at.anyOf.map(typeName))].join(' or ')
  if (at.items !== undefined) return `list of ${typeName(at.items)}`
  if (at.properties !== undefined) return 'object'
  if (typeof at.additionalProperties === 'object') return `map of name to ${typeName(at.additionalProperties)}`
  return { string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false' }[at.type ?? ''] ?? 'any'
}

function bounds(at: Declared): string {
  const whole = at.type === 'integer' ? at : at.anyOf?.find((option) => option.type === 'integer')
  if (at.kind !== undefined || whole?.minimum === undefined || whole.maximum === undefined) return ''
  return `From ${whole.minimum} to ${whole.maximum}.`
}

function examples(at: Declared): string {
  const shown = at.kind === 'duration' || at.kind === 'size' ? [] : (at.samples ?? at.items?.samples ?? [])
  return shown.length === 0 ? '' : `E.g. ${shown.map((each) => `\`${each}\``).join(', ')}.`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const schema = process.argv.includes('--schema')
  process.stdout.write(schema ? `${JSON.stringify(jsonSchema(), null, 2)}\n` : configurationReference())
}
