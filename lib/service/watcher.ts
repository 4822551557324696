/** Tells when files were changed, once they rest: nobody reads what is half written. */
import { stat } from 'node:fs/promises'
import { codeOf } from '../core/index.ts'

const LOOK_MS = 500 // a change is taken up at the second look that finds it: within 1.5 s

export class Watcher {
  readonly #onChange: () => Promise<void>
  #paths: readonly string[] = []
  /** What the files looked like when they were last told of. */
  #told = ''
  #seen = ''
  #timer: NodeJS.Timeout | null = null
  #stopped = true

  constructor(onChange: () => Promise<void>) {
    this.#onChange = onChange
  }

  /** Watches these from now on, and tells of them once: they may have changed since they were read. Empty: nothing. */
  watch(paths: readonly string[]): void {
    this.#paths = paths
    this.#told = ''
    this.#seen = ''
    if (paths.length === 0) return this.stop()
    if (!this.#stopped) return
    this.#stopped = false
    this.#again()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #again(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => void this.#look().finally(() => this.#again()), LOOK_MS)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const seen = await looks(this.#paths)
    const rests = seen === this.#seen
    this.#seen = seen
    if (!rests || seen === this.#told) return
    this.#told = seen
    await this.#onChange()
  }
}

/** Differs whenever a file was written, replaced or removed, or a folder has another file. */
async function looks(paths: readonly string[]): Promise<string> {
  const each = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true })
      return [dev, ino, size, mtimeNs].join()
    } catch (error) {
      return codeOf(error)
    }
  })
  return (await Promise.all(each)).join(' ')
}
