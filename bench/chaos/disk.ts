/** Where the balancer keeps state and logs: as root a file system of its own, of some KiB, which can be filled. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SIZE = '4m'
const PIECE = Buffer.alloc(64 * 1024)

export class Disk {
  readonly path: string
  /** Why it can't be filled; null: it can. */
  readonly missing: string | null
  readonly #filling: string

  constructor(path: string) {
    this.path = path
    this.#filling = join(path, 'filling')
    mkdirSync(path)
    this.missing = mount(path)
  }

  fill(): void {
    try {
      for (;;) writeFileSync(this.#filling, PIECE, { flag: 'a' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }

  clear(): void {
    rmSync(this.#filling, { force: true })
  }

  close(): void {
    if (this.missing === null) execFileSync('umount', ['--lazy', this.path])
  }
}

function mount(path: string): string | null {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=700`, 'tmpfs', path], { stdio: 'pipe' })
    return null
  } catch {
    return 'needs the right to mount'
  }
}
