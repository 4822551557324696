/** Reads a file of which a version was read before: services whose text is the same are not read again. */
import type { Environment } from './environment.ts'
import { readYaml } from './reader.ts'
import { type Finding, Source } from './source.ts'
import { type Branch, child, type Entry, type Tree, withEntry } from './tree.ts'

/** A file as it was read. */
export interface ReadFile {
  readonly source: Source
  /** null: it is not YAML. */
  readonly tree: Tree | null
  readonly findings: readonly Finding[]
  /** null: it can only be read whole. */
  readonly parts: Parts | null
}

/** Services written one below the other, each from the beginning of a line of its own to that of the next one. */
interface Parts {
  /** In the order of the file. */
  readonly names: readonly string[]
  /** The offset of each one's line. */
  readonly starts: readonly number[]
  /** Where the last one ends: at what is no service, or with the text. */
  readonly end: number
  /** How many blanks stand before each name. */
  readonly indent: number
}

const HEADER = 'virtualServices:\n'
const STREAM = /^(?:%|---|\.\.\.)/m // directives, and ends of documents: what follows them is read by other rules

export function readFile(source: Source, env: Environment): ReadFile {
  const { tree, findings, plain } = readYaml(source, env)
  const whole = tree !== null && plain && findings.length === 0 && !STREAM.test(source.text)
  return { source, tree, findings, parts: whole ? partsOf(source.text, tree) : null }
}

function partsOf(text: string, tree: Tree): Parts | null {
  const services = tree.kind === 'map' ? tree.entries.get('virtualServices') : undefined
  if (tree.kind !== 'map' || services?.value.kind !== 'map' || text[services.value.at.offset] === '{') return null
  const found = startsOf(text, services.value.entries)
  const [first] = found ?? []
  if (found === null || first === undefined) return null
  const later = [...tree.entries.values()].map(({ at }) => at.offset).filter((offset) => offset > first.key)
  const end = Math.min(text.length, ...later)
  const indent = first.key - first.start
  if (indent === 0 || found.some(({ key, start }) => key - start !== indent)) return null
  return { names: [...services.value.entries.keys()], starts: found.map(({ start }) => start), end, indent }
}

/** null: something else than blanks stands before one of the keys. */
function startsOf(text: string, entries: ReadonlyMap<string, Entry>): { start: number; key: number }[] | null {
  const starts: { start: number; key: number }[] = []
  for (const { at } of entries.values()) {
    const start = text.lastIndexOf('\n', at.offset - 1) + 1
    if (!/^ *$/.test(text.slice(start, at.offset))) return null
    starts.push({ start, key: at.offset })
  }
  return starts
}

/**
 * The file with another text; null: it has to be read whole.
 *
 * Why it is the same as if it were: at the first character of a service's key all that a YAML parser knows of what was
 * before is the indentation that it is in (there are no anchors, tags or further documents, and a name is no indicator). The text
 * up to there is the same, so what was before is. What differs is read together with the service behind it, which did not change;
 * where that comes out as it was, at the place where it stands, the parser is where it was then, and so all behind it is too.
 */
export function reread(before: ReadFile, source: Source, env: Environment): ReadFile | null {
  const { parts, tree } = before
  const [old, text] = [before.source.text, source.text]
  if (old === text) return before
  if (parts === null || tree?.kind !== 'map') return null
  const { names, starts, indent } = parts
  const [from, to] = difference(old, text)
  const next = starts.findIndex((start) => start >= to)
  const last = next === -1 ? starts.length : next
  const first = starts.findLastIndex((start, i) => i < last && start + indent < from)
  const start = starts[first]
  if (start === undefined || (next === -1 && parts.end < old.length)) return null
  const moved = text.length - old.length
  const neighbour = starts[last] ?? old.length
  const behindNext = next === -1 ? old.length : (starts[next + 1] ?? parts.end)
  const shift = start - HEADER.length
  const piece = new Source(source.name, source.folder, HEADER + text.slice(start, behindNext + moved))
  const fresh = readPiece(piece, indent, env)
  if (fresh === null) return null
  const known = (child(tree, 'virtualServices') as Branch).entries
  const name = names[last]
  if (name !== undefined) {
    const again = fresh.pop()
    const same = again?.name === name && sameTree(again.entry.value, known.get(name)?.value)
    if (!same || again.start + shift !== neighbour + moved) return null
  }
  const entries = new Map<string, Entry>()
  for (const name of names.slice(0, first)) entries.set(name, known.get(name) as Entry)
  for (const { name, entry } of fresh) entries.set(name, entry)
  for (const name of names.slice(last)) entries.set(name, known.get(name) as Entry)
  if (entries.size !== first + fresh.length + names.length - last) return null // a name is there twice
  for (const [a, b] of before.source.secrets) {
    if (b <= start) source.hide(a, b)
    else if (a >= neighbour) source.hide(a + moved, b + moved)
  }
  for (const [a, b] of piece.secrets) if (b + shift <= neighbour + moved) source.hide(a + shift, b + shift)
  const begins = fresh.map((each) => each.start + shift)
  const moves = starts.slice(last).map((each) => each + moved)
  return {
    source,
    tree: withServices(tree, entries),
    findings: [],
    parts: {
      names: [...entries.keys()],
      starts: [...starts.slice(0, first), ...begins, ...moves],
      end: parts.end + moved,
      indent,
    },
  }
}

interface Fresh {
  readonly name: string
  readonly start: number
  readonly entry: Entry
}

/** Services as they stand in a piece of a file; null: it holds something else too, or something is wrong with it. */
function readPiece(piece: Source, indent: number, env: Environment): Fresh[] | null {
  if (STREAM.test(piece.text)) return null
  const { tree, parts } = readFile(piece, env)
  const services = child(tree ?? undefined, 'virtualServices')
  if (parts === null || parts.indent !== indent || services?.kind !== 'map') return null
  if (tree?.kind !== 'map' || tree.entries.size !== 1 || parts.starts[0] !== HEADER.length) return null
  return [...services.entries].map(([name, entry], i) => ({ name, entry, start: parts.starts[i] ?? 0 }))
}

function withServices(tree: Branch, entries: ReadonlyMap<string, Entry>): Branch {
  const services = tree.entries.get('virtualServices') as Entry
  return withEntry(tree, 'virtualServices', { ...services, value: { ...services.value, kind: 'map', entries } })
}

/** Where the texts begin to differ, and where in `old` they have ceased to. */
function difference(old: string, text: string): [from: number, to: number] {
  const most = Math.min(old.length, text.length)
  const from = longest(most, (low, high) => old.startsWith(text.slice(low, high), low))
  const behind = longest(most - from, (low, high) =>
    old.endsWith(text.slice(text.length - high, text.length - low), old.length - low),
  )
  return [from, old.length - behind]
}

/** The largest n up to `most` so that `same` holds of all before it. Pieces are compared natively, not character by character. */
function longest(most: number, same: (low: number, high: number) => boolean): number {
  let [low, high] = [0, most]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (same(low, middle)) low = middle
    else high = middle - 1
  }
  return low
}

/** Do they say the same, wherever they stand? */
function sameTree(a: Tree | undefined, b: Tree | undefined): boolean {
  if (a === undefined || b === undefined || a.kind !== b.kind) return false
  if (a.kind === 'leaf' || b.kind === 'leaf')
    return a.kind === 'leaf' && b.kind === 'leaf' && a.value === b.value && a.text === b.text
  if (a.kind === 'list' || b.kind === 'list')
    return (
      a.kind === 'list' &&
      b.kind === 'list' &&
      a.items.length === b.items.length &&
      a.items.every((item, i) => sameTree(item, b.items[i]))
    )
  const names = [...b.entries.keys()]
  return (
    a.entries.size === names.length &&
    [...a.entries].every(([key, { value }], i) => key === names[i] && sameTree(value, b.entries.get(key)?.value))
  )
}
