/** Turns what the schema found into sentences with places: what is wrong, and what would be right. */

import type { z } from 'zod'
import { nearest } from '../core/index.ts'
import { type Declared, declaredAt, propertiesOf, wordsOf } from './declaration.ts'
import type { Path } from './path.ts'
import { type Finding, isSecret, type Place } from './source.ts'
import { type Leaf, type Located, locate, type Tree } from './tree.ts'

export type Issue = z.core.$ZodIssue

const NOUNS: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of keys',
}
const SHOWN_CHARS = 60
const HIDDEN = 'the value'

interface Explained {
  readonly findings: readonly Finding[]
  /** Values read as numbers where text is wanted, and that were text before a substitution was read again. */
  readonly asText: readonly Leaf[]
}

/** @param issues made with an error map that answers '', so that a message is one that the schema itself declares */
export function explain(root: Tree, issues: readonly Issue[]): Explained {
  const findings: Finding[] = []
  const asText: Leaf[] = []
  for (const issue of issues.flatMap((each) => flatten(each, []))) {
    const located = locate(root, issue.path as Path)
    const { tree } = located
    if (tree.kind === 'leaf' && tree.broken) continue
    const wantsText = issue.code === 'invalid_type' && issue.expected === 'string' && located.missing === 0
    if (wantsText && tree.kind === 'leaf' && tree.text !== undefined) asText.push(tree)
    else findings.push(...sentences(issue, located, root))
  }
  return { findings, asText }
}

/** The issues of the one alternative that was meant; the union's own where that can't be told. */
function flatten(issue: Issue, prefix: Path): Issue[] {
  const path = [...prefix, ...issue.path] as (string | number)[]
  if (issue.code === 'invalid_union') {
    const meant = issue.errors.filter((errors) => !errors.some(isOtherKind))
    if (meant.length === 1) return (meant[0] ?? []).flatMap((each) => flatten(each, path))
  }
  return [{ ...issue, path }]
}

/** True of an alternative that wants another kind of value altogether, not this one written differently. */
const isOtherKind = (issue: Issue): boolean =>
  issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value')

function sentences(issue: Issue, located: Located, root: Tree): Finding[] {
  const path = issue.path as Path
  const { tree, keyAt } = located
  const declared = declaredAt(path)
  if (located.missing > 0) {
    if (path[0] === 'defaults') return [] // a part: the services bring the rest
    const message = `${path.at(-1)} is missing${what(issue.message, declared)}`
    return [{ at: ownerOf(path, root), path, message }]
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const here = [...path, key]
      return { at: locate(root, here).keyAt, path: here, message: unknownKey(key, propertiesOf(declared) ?? {}) }
    })
  }
  if (issue.code === 'invalid_key') {
    const why = issue.issues[0]?.message ?? 'is not valid'
    return [{ at: keyAt, path, message: `${quote(path.at(-1))}${why.startsWith('is ') ? '' : ':'} ${why}` }]
  }
  return [{ at: tree.at, path, message: valueSentence(issue, tree, path, declared) }]
}

/** The key under which something is missing; what `defaults` begin is for the service to complete. */
function ownerOf(path: Path, root: Tree): Place {
  let owner = path.slice(0, -1)
  for (;;) {
    const { keyAt } = locate(root, owner)
    const common = locate(root, ['defaults', ...owner.slice(2)])
    if (owner.length < 3 || common.missing > 0 || common.keyAt !== keyAt) return keyAt
    owner = owner.slice(0, -1)
  }
}

function what(message: string, declared: Declared | undefined): string {
  if (message !== '') return `: ${message}`
  const words = wordsOf(declared)
  if (words.length > 0) return `: one of ${words.join(', ')}`
  const text = declared?.description?.replace(/\.$/, '') ?? ''
  const example = declared?.samples?.[0] ?? declared?.items?.samples?.[0]
  const suffix = example === undefined ? '' : `, such as ${declared?.items ? `[${quote(example)}]` : String(example)}`
  return text === ''
    ? ''
    : `: ${/^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text}${suffix}`
}

function unknownKey(key: string, properties: Readonly<Record<string, Declared>>): string {
  const unknown = `unknown key \`${key.length > SHOWN_CHARS ? `${key.slice(0, SHOWN_CHARS)}…` : key}\``
  const known = Object.keys(properties).filter((name) => properties[name]?.deprecated !== true)
  const near = nearest(key, known)
  if (near !== undefined) return `${unknown}; did you mean \`${near}\`?`
  const parent = known.find((name) => Object.hasOwn(propertiesOf(properties[name]) ?? {}, key))
  if (parent !== undefined) return `${unknown}; did you mean \`${parent}.${key}\`?`
  return `${unknown}; known keys: ${known.join(', ')}`
}

function valueSentence(issue: Issue, tree: Tree, path: Path, declared: Declared | undefined): string {
  const shown = show(tree, path)
  const { message } = issue
  if (message.startsWith('is ') || message.startsWith('has ')) return `${shown} ${message}`
  if (message.startsWith('expected ')) return `${message}, not ${shown}${near(tree, alternatives(issue))}`
  if (message !== '') return message
  switch (issue.code) {
    case 'invalid_type':
      return typeSentence(issue.expected, tree, shown)
    case 'invalid_value': {
      const words = wordsOf(declared)
      const values = words.length > 0 ? words : issue.values.map(String)
      if (values.length === 1) return `expected ${values[0]}, not ${shown}`
      return `${shown} is not one of ${values.join(', ')}${near(tree, values)}`
    }
    case 'too_big':
      if (issue.origin === 'array') return `has more than ${issue.maximum} entries`
      if (issue.origin === 'string') return `is longer than ${issue.maximum} characters`
      return `${shown} is above ${issue.maximum}`
    case 'too_small':
      if (issue.origin === 'array') return `has fewer than ${issue.minimum} entries`
      if (issue.origin === 'string')
        return issue.minimum === 1 ? 'is empty' : `is shorter than ${issue.minimum} characters`
      return `${shown} is below ${issue.minimum}`
    default:
      return `${shown} is not valid`
  }
}

function typeSentence(expected: string, tree: Tree, shown: string): string {
  const noun = NOUNS[expected] ?? expected
  const value = tree.kind === 'leaf' ? tree.value : undefined
  if (value === null) return `expected ${noun}, but there is no value`
  if (expected === 'string' && tree.kind === 'leaf') {
    const what = shown === HIDDEN ? `a ${typeof value}` : `the ${typeof value} ${shown}`
    return `expected text, not ${what}; write it in quotes`
  }
  if (expected === 'number' && typeof value === 'string' && /^\d+$/.test(value))
    return `expected ${noun}, not the text ${shown}; write it without quotes`
  if (expected === 'array' && tree.kind === 'leaf') return `expected a list, not ${shown}; write [ ] around it`
  return `expected ${noun}, not ${shown}`
}

/** The words that a union would have taken. */
const alternatives = (issue: Issue): string[] =>
  issue.code === 'invalid_union'
    ? issue.errors.flat().flatMap((each) => (each.code === 'invalid_value' ? each.values.map(String) : []))
    : []

function near(tree: Tree, words: readonly string[]): string {
  const found = tree.kind === 'leaf' ? nearest(String(tree.value), words) : undefined
  return found === undefined ? '' : `; did you mean \`${found}\`?`
}

/** A value as it is named in a sentence; never a secret. */
function show(tree: Tree, path: Path): string {
  if (tree.kind === 'map') return 'a map'
  if (tree.kind === 'list') return 'a list'
  if (path.some((step) => isSecret(String(step)) || step === 'headers')) return HIDDEN
  if (tree.value === null) return 'nothing'
  return typeof tree.value === 'string' ? quote(tree.value) : String(tree.value)
}

function quote(value: unknown): string {
  const text = String(value)
  return JSON.stringify(text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text)
}
