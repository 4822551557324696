/** Something read from files, that follows them: what is not whole leaves what was read before. */
import { stat } from 'node:fs/promises'
import { codeOf, messageOf } from '../core/index.ts'

export class Followed<Value> {
  readonly #paths: readonly string[]
  readonly #load: () => Promise<Value>
  value: Value
  /** Why the files, as they are now, are not in use; null: they are. */
  problem: string | null = null
  /** What the files looked like when they were last read. */
  #read: string
  /** What they looked like at the last look, and at the last patient one: they are read once they rest. */
  #seen: string
  #steady: string

  private constructor(paths: readonly string[], load: () => Promise<Value>, value: Value, read: string) {
    this.#paths = paths
    this.#load = load
    this.value = value
    this.#read = read
    this.#seen = read
    this.#steady = read
  }

  get paths(): readonly string[] {
    return this.#paths
  }

  /** Rejects as `load` does. */
  static async of<Value>(paths: readonly string[], load: () => Promise<Value>): Promise<Followed<Value>> {
    const read = await looks(paths) // before they are read: a change meanwhile is seen later
    return new Followed(paths, load, await load(), read)
  }

  /**
   * `read`: there may be another `value`. `failed`: they were read, and there is a `problem`. `moving`: they are being written, or
   * soon will be. null: there is nothing new.
   * @param hasty it comes soon after the one before: what is not whole may become so, and a patient look tells of it
   */
  async look(hasty = false): Promise<'read' | 'failed' | 'moving' | null> {
    const seen = await looks(this.#paths)
    const rests = seen === (hasty ? this.#seen : this.#steady)
    this.#seen = seen
    if (!hasty) this.#steady = seen
    if (seen === this.#read) return null
    if (!rests) return 'moving'
    try {
      this.value = await this.#load()
      this.problem = null
      this.#read = seen
      return 'read'
    } catch (error) {
      if (hasty) return null
      this.problem = messageOf(error)
      this.#read = seen
      return 'failed'
    }
  }
}

/** Differs whenever a file was written, replaced or removed. */
async function looks(paths: readonly string[]): Promise<string> {
  const each = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
      return [dev, ino, size, mtimeNs, ctimeNs].join()
    } catch (error) {
      return codeOf(error)
    }
  })
  return (await Promise.all(each)).join(' ')
}
