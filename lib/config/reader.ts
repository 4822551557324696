/** Reads YAML into a tree of values with places; bounded in depth and in what aliases may expand to. */
import { type Document, isAlias, isMap, isScalar, type Node, parseDocument, Scalar, visit, type YAMLMap } from 'yaml'
import { type Environment, reread, substitute } from './environment.ts'
import type { Path } from './path.ts'
import { type Finding, isSecret, type Place, type Source } from './source.ts'
import type { Entry, Leaf, Tree } from './tree.ts'

const MAX_DEPTH = 64 // ours is below 10; deeper is an attack or an accident
const MAX_EXPANDED = 100_000 // values that aliases may add to a file
const PLAIN_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/

interface ReadResult {
  /** Null where the text is not YAML. */
  readonly tree: Tree | null
  readonly findings: readonly Finding[]
  /** It has no anchors, aliases and tags. */
  readonly plain: boolean
}

export function readYaml(source: Source, env: Environment): ReadResult {
  const document: Document.Parsed = parseDocument(source.text, {
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: false, // compares all with all; the reader below looks for duplicates by a table
    prettyErrors: false,
    logLevel: 'error', // silent would pass over a second document
  })
  if (document.errors.length > 0) return { tree: null, findings: syntaxFindings(source, document), plain: false }
  const reader = new Reader(source, env)
  const start = { source, offset: 0 }
  const tree = reader.read(document.contents, [], start)
  return { tree, findings: reader.findings, plain: reader.plain }
}

/** One a line, without the echoes that the first of them has all through the rest of the file. */
function syntaxFindings(source: Source, { contents, errors }: Document.Parsed): Finding[] {
  const lines = new Map<number, Finding>()
  for (const error of errors) {
    if (lines.size > 0 && /in YAML (?:stream|document)/.test(error.message)) continue
    const unclosed = error.message.startsWith('Missing closing') ? lastQuoted(contents) : undefined
    const at = { source, offset: unclosed ?? error.pos[0] }
    const { line } = source.position(at.offset)
    // The parser quotes the text; the line is shown anyway, and there its secrets are masked.
    const text = error.message.replace(/: ".*$/s, '').replace(/(["'])quote/, '$1 quote')
    if (!lines.has(line)) lines.set(line, { at, path: [], message: `not valid YAML: ${text}${hint(at)}` })
  }
  return [...lines.values()]
}

/** Where the text begins that runs to the end of the file. */
function lastQuoted(contents: Node | null): number | undefined {
  let last: number | undefined
  visit(contents, {
    Scalar: (_, { type, range }) => {
      if ((type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE') && range) last = range[0]
    },
  })
  return last
}

function hint({ source, offset }: Place): string {
  const before = source.text.slice(Math.max(0, offset - 2), offset + 1)
  return before.includes('${') ? '; inside { } and [ ] a substitution stands in quotes' : ''
}

class Reader {
  readonly findings: Finding[] = []
  plain = true
  readonly #source: Source
  readonly #env: Environment
  readonly #anchors = new Map<string, Node>()
  readonly #open = new Set<Node>()
  #aliases = 0
  #expanded = 0

  constructor(source: Source, env: Environment) {
    this.#source = source
    this.#env = env
  }

  /** @param keyAt where the key of this value stands: the place of a value that is not written */
  read(node: Node | null, path: Path, keyAt: Place): Tree {
    if (node === null) return { kind: 'leaf', value: null, at: keyAt }
    const at = { source: this.#source, offset: node.range?.[0] ?? keyAt.offset }
    if (path.length > MAX_DEPTH) return this.#broken(at, path, `is nested deeper than ${MAX_DEPTH} levels`)
    if (this.#aliases > 0 && ++this.#expanded > MAX_EXPANDED) {
      if (this.#expanded === MAX_EXPANDED + 1)
        this.#find(at, path, `aliases expand to more than ${MAX_EXPANDED} values`)
      return { kind: 'leaf', value: null, at, broken: true }
    }
    if (isAlias(node) || node.anchor !== undefined || node.tag !== undefined) this.plain = false
    if (isAlias(node)) return this.#follow(node.source, path, at)
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    if (node.tag !== undefined && !PLAIN_TAG.test(node.tag))
      return this.#broken(at, path, `the tag ${JSON.stringify(node.tag)} is not accepted; write plain values`)
    if (isScalar(node)) return this.#leaf(node, path, at, keyAt)
    this.#open.add(node)
    const tree: Tree = isMap(node)
      ? { kind: 'map', entries: this.#entries(node, path), at }
      : { kind: 'list', items: node.items.map((item, i) => this.read(item as Node | null, [...path, i], at)), at }
    this.#open.delete(node)
    return tree
  }

  #follow(name: string, path: Path, at: Place): Tree {
    const target = this.#anchors.get(name)
    if (target === undefined) return this.#broken(at, path, `the alias *${name} has no anchor &${name} before it`)
    if (this.#open.has(target)) return this.#broken(at, path, `the alias *${name} contains itself`)
    this.#aliases++
    const tree = this.read(target, path, at)
    this.#aliases--
    return tree
  }

  #entries(map: YAMLMap, path: Path): Map<string, Entry> {
    const entries = new Map<string, Entry>()
    for (const { key, value } of map.items) {
      if (!isScalar(key) || key.anchor !== undefined || key.tag !== undefined) this.plain = false
      if (isScalar(key) && key.anchor !== undefined) this.#anchors.set(key.anchor, key)
      const name = isScalar(key) ? String(key.value ?? '') : ''
      const at = { source: this.#source, offset: (isScalar(key) ? key.range?.[0] : undefined) ?? map.range?.[0] ?? 0 }
      const here = [...path, name]
      const first = entries.get(name)
      const tree = this.read(value as Node | null, here, at)
      if (isSecret(name)) this.#hide(value as Node | null)
      if (name === '__proto__') this.#find(at, here, 'unknown key `__proto__`')
      else if (first === undefined) entries.set(name, { at, value: tree })
      else {
        const { line } = this.#source.position(first.at.offset)
        this.#find(at, here, `the key \`${name}\` is here twice, first in line ${line}`)
      }
    }
    return entries
  }

  #leaf(node: Scalar, path: Path, at: Place, keyAt: Place): Leaf {
    const { value } = node
    if (value === null || value === undefined) return { kind: 'leaf', value: null, at: node.source ? at : keyAt }
    if (typeof value === 'number' || typeof value === 'boolean') return { kind: 'leaf', value, at }
    const text = String(value)
    if (!text.includes('${')) return { kind: 'leaf', value: text, at }
    const result = substitute(text, this.#env)
    for (const { found, message } of result.problems) {
      const offset = this.#source.text.indexOf(found, at.offset)
      const inside = offset !== -1 && offset < (node.range?.[1] ?? 0)
      this.#find(inside ? { source: this.#source, offset } : at, path, message)
    }
    if (result.problems.length > 0) return { kind: 'leaf', value: null, at, broken: true }
    if (node.type !== Scalar.PLAIN || node.tag !== undefined) return { kind: 'leaf', value: result.text, at }
    return { kind: 'leaf', value: reread(result.text), at, text: result.text }
  }

  #hide(node: Node | null): void {
    const target = isAlias(node) ? this.#anchors.get(node.source) : node
    if (target?.range) this.#source.hide(target.range[0], target.range[1])
  }

  #find(at: Place, path: Path, message: string): void {
    this.findings.push({ at, path, message })
  }

  #broken(at: Place, path: Path, message: string): Leaf {
    this.#find(at, path, message)
    return { kind: 'leaf', value: null, at, broken: true }
  }
}
