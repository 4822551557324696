/** Says that files may have changed as soon as the kernel does. No more than a hint: network file systems and full tables of watches give none. */
import { type FSWatcher, watch } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'

const MOST_LINKS = 8 // in a row: more are a circle

export class Hints {
  readonly #onHint: () => void
  /** By folder: what tells of it, and the names in it that matter. */
  readonly #folders = new Map<string, { readonly watcher: FSWatcher; names: ReadonlySet<string> }>()
  #stopped = false

  constructor(onHint: () => void) {
    this.#onHint = onHint
  }

  /** Watches these from now on: the files, and the symbolic links on the way to them. To be told again after each change. */
  async follow(paths: readonly string[]): Promise<void> {
    const wanted = new Map<string, Set<string>>()
    for (const path of new Set(paths)) await addPlaces(resolve(path), wanted, MOST_LINKS)
    if (this.#stopped) return
    for (const [folder, { watcher }] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const [folder, names] of wanted) {
      const known = this.#folders.get(folder)
      if (known !== undefined) known.names = names
      else this.#watch(folder, names)
    }
  }

  #watch(folder: string, names: ReadonlySet<string>): void {
    try {
      const watcher = watch(folder, { persistent: false })
      this.#folders.set(folder, { watcher, names })
      watcher.on('change', (_kind, name) => this.#onChange(folder, watcher, name))
      watcher.on('error', () => this.#lose(folder, watcher))
    } catch {
      // There is no such folder, or no room for another watch: whoever looks regularly finds out.
    }
  }

  #onChange(folder: string, watcher: FSWatcher, name: string | Buffer | null): void {
    const entry = this.#folders.get(folder)
    if (entry?.watcher !== watcher) return
    // The folder itself was moved or removed: another one may be in its place.
    const gone = name === basename(folder)
    if (gone) this.#lose(folder, watcher)
    if (gone || name === null || entry.names.has(String(name))) this.#onHint()
  }

  #lose(folder: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#folders.get(folder)?.watcher === watcher) this.#folders.delete(folder)
  }

  stop(): void {
    this.#stopped = true
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }
}

/**
 * Adds where a change of `path` shows: its name in its folder, where that is a link the place it leads to, and where the folder is one
 * (`..data` of Kubernetes, `current` of a release) its name too.
 */
async function addPlaces(path: string, to: Map<string, Set<string>>, links: number): Promise<void> {
  const folder = dirname(path)
  add(to, folder, basename(path))
  if (links === 0) return
  if ((await linkAt(folder)) !== null) add(to, dirname(folder), basename(folder))
  const target = await linkAt(path)
  if (target !== null) await addPlaces(resolve(folder, target), to, links - 1)
}

function add(to: Map<string, Set<string>>, folder: string, name: string): void {
  const names = to.get(folder)
  if (names === undefined) to.set(folder, new Set([name]))
  else names.add(name)
}

/** Where a symbolic link leads; null: it is none. */
async function linkAt(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null
  } catch {
    return null
  }
}
