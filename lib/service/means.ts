/** What the process has of memory and descriptors, and how much of it is in use. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { totalmem } from 'node:os'

export interface Means {
  readonly used: number
  /** Infinity: nobody knows. */
  readonly most: number
}

const LEAST_HEAP = 256 * 1024 ** 2
const MOST_HEAP = 4 * 1024 ** 3 // V8's own limit with the memory of today's servers

/** Of the control group or the machine, whichever has less. */
export function totalMemory(): number {
  const constrained = process.constrainedMemory() // 0 or an absurd number: there is no limit
  const total = totalmem()
  return constrained > 0 ? Math.min(constrained, total) : total
}

/** Bytes for the heap of each of so many threads: the other half is for buffers, TLS, and the rest of the process. */
export const heapFor = (threads: number, memory = totalMemory()): number =>
  Math.min(MOST_HEAP, Math.max(LEAST_HEAP, Math.floor(memory / 2 / threads)))

export function memoryMeans(use: MemoryUse, held: number): Means {
  const used = use.of(process.memoryUsage.rss(), held)
  return { used, most: totalMemory() }
}

/**
 * What of the resident memory is in use. The allocator keeps part of what is freed, so that after a crowd has gone the
 * process stays larger than before, perhaps for good: that is room for the next crowd, not a shortage.
 */
export class MemoryUse {
  #resident = 0
  /** The most that heaps and buffers held, less what has been given back to the system since. */
  #most = 0

  of(resident: number, held: number): number {
    const returned = Math.max(0, this.#resident - resident)
    this.#most = Math.max(held, this.#most - returned)
    this.#resident = resident
    return resident - (this.#most - held)
  }
}

export async function descriptorMeans(): Promise<Means> {
  try {
    const most = Number(/^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'latin1'))?.[1] ?? Infinity)
    const { size } = await stat('/proc/self/fd')
    // Linux tells their number as the size of the folder since 6.2; before, it has to be read.
    return { used: size > 0 ? size : (await readdir('/proc/self/fd')).length, most }
  } catch {
    return { used: 0, most: Number.POSITIVE_INFINITY } // no /proc, or no descriptor left to read it with: the next look tells
  }
}
