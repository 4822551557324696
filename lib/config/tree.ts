/** The configuration as read, each value with its place: what is checked, merged and pointed at. */
import type { Path } from './path.ts'
import type { Place } from './source.ts'

export interface Leaf {
  readonly kind: 'leaf'
  readonly value: string | number | boolean | null
  readonly at: Place
  /** Unquoted text with a substitution that reads as a number or boolean: where text is wanted, this is it. */
  readonly text?: string
  /** A problem with it is known already, and nothing else is to be said about it. */
  readonly broken?: true
}

export interface Entry {
  /** Of the key. */
  readonly at: Place
  readonly value: Tree
}

export interface Branch {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Entry>
  readonly at: Place
}

export interface List {
  readonly kind: 'list'
  readonly items: readonly Tree[]
  readonly at: Place
}

export type Tree = Leaf | Branch | List

/** The value under `key`, or undefined where there is none. */
export function child(tree: Tree | undefined, key: string): Tree | undefined {
  return tree?.kind === 'map' ? tree.entries.get(key)?.value : undefined
}

export function itemsOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : []
}

/** The text of a scalar that has one and is not known to be wrong. */
export function textOf(tree: Tree | undefined): string | undefined {
  if (tree?.kind !== 'leaf' || tree.broken) return undefined
  return typeof tree.value === 'string' ? tree.value : tree.text
}

export interface Located {
  /** The value, or where the path ends early, the last value on the way. */
  readonly tree: Tree
  /** Where the key of that value stands; in a list, and at the root, the value itself. */
  readonly keyAt: Place
  /** Keys of the path that are not there. */
  readonly missing: number
}

export function locate(root: Tree, path: Path): Located {
  let tree = root
  let keyAt = root.at
  for (const [i, step] of path.entries()) {
    if (tree.kind === 'map') {
      const entry = tree.entries.get(String(step))
      if (entry === undefined) return { tree, keyAt, missing: path.length - i }
      tree = entry.value
      keyAt = entry.at
    } else {
      const item = tree.kind === 'list' ? tree.items[Number(step)] : undefined
      if (item === undefined) return { tree, keyAt, missing: path.length - i }
      tree = item
      keyAt = item.at
    }
  }
  return { tree, keyAt, missing: 0 }
}

/** `own` over `base`: maps key by key, everything else whole. Values keep their places. */
export function merge(base: Tree, own: Tree): Tree {
  if (base.kind !== 'map' || own.kind !== 'map') return own
  const entries = new Map(base.entries)
  for (const [key, entry] of own.entries) {
    const below = base.entries.get(key)
    entries.set(key, below === undefined ? entry : { at: entry.at, value: merge(below.value, entry.value) })
  }
  return { kind: 'map', entries, at: own.at }
}

export function without(tree: Tree, key: string): Tree {
  if (tree.kind !== 'map') return tree
  return { ...tree, entries: new Map([...tree.entries].filter(([name]) => name !== key)) }
}

export function withEntry(tree: Branch, key: string, entry: Entry): Branch {
  return { ...tree, entries: new Map(tree.entries).set(key, entry) }
}

/**
 * Plain data for the schema. Objects have no prototype, so no key is special.
 * @param asText leaves whose text is wanted although it reads as a number
 */
export function toData(tree: Tree, asText: ReadonlySet<Leaf>): unknown {
  if (tree.kind === 'leaf') return asText.has(tree) ? tree.text : tree.value
  if (tree.kind === 'list') return tree.items.map((item) => toData(item, asText))
  const data = Object.create(null) as Record<string, unknown>
  for (const [key, entry] of tree.entries) data[key] = toData(entry.value, asText)
  return data
}
