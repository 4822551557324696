/**
 * Blocks of memory for bytes that have to wait, used again and again. V8 hardly sees memory outside of its heap: a copy that outlives two
 * collections of what is new is freed with the next collection of all, which 64 MiB of such copies do not bring about (docs/performance.md).
 */
const BLOCK_BYTES = 64 * 1024 // the most that is read at once
const SMALL_BYTES = 4 * 1024 // V8 frees so little without being missed
const MOST_SPARES = 64 // 4 MiB a thread

const spares: Buffer[] = []

/** Memory for `length` bytes or more. */
export function takeBlock(length: number): Buffer {
  if (length <= SMALL_BYTES) return Buffer.allocUnsafe(length)
  return length > BLOCK_BYTES ? Buffer.allocUnsafeSlow(length) : (spares.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES))
}

/** Nobody reads it any more; it is all that `takeBlock` gave. */
export function giveBackBlock(block: Buffer): void {
  if (block.length === BLOCK_BYTES && spares.length < MOST_SPARES) spares.push(block)
}
