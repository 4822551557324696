/** Lines that a process leaves of what it saw, in a file: a kill loses none that was written. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'

const READ_BYTES = 256 * 1024
const FLUSH_BYTES = 16 * 1024

export class Journal {
  readonly #fd: number
  readonly #gathered: boolean
  #text = ''

  /** `gathered`: lines may wait for `flush`, where nobody kills the process. */
  constructor(path: string, gathered = false) {
    this.#fd = openSync(path, 'a')
    this.#gathered = gathered
  }

  /** The parts must not hold white space. */
  write(kind: string, ...parts: readonly (string | number)[]): void {
    this.#text += `${kind} ${Date.now()} ${parts.join(' ')}\n`
    if (!this.#gathered || this.#text.length > FLUSH_BYTES) this.flush()
  }

  flush(): void {
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at)
  }

  close(): void {
    this.flush()
    closeSync(this.#fd)
  }
}

export class JournalReader {
  readonly #fd: number
  readonly #buffer = Buffer.alloc(READ_BYTES)
  #rest = ''

  constructor(path: string) {
    this.#fd = openSync(path, 'r')
  }

  /** Tells each whole line that came since the last call, its parts apart. */
  read(onLine: (parts: readonly string[]) => void): void {
    for (let n = readSync(this.#fd, this.#buffer); n > 0; n = readSync(this.#fd, this.#buffer)) {
      const lines = (this.#rest + this.#buffer.toString('latin1', 0, n)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) onLine(line.split(' '))
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
