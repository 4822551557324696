/**
 * Keeps memory that nobody has touched for the buffers of TLS connections.
 *
 * Node keeps what is to be sent over TLS in a buffer of 16 KiB as soon as there is more than 1 KiB of it, and never gives it back. From
 * malloc it gets the room of a handshake that has just ended, all pages of which are resident because OpenSSL clears its own buffers; the
 * next handshake then needs other room. When a block of exactly its size has become free, it gets that: only the pages that are written to
 * become resident, one or two of four. With another malloc nothing is gained or lost.
 */
const BLOCK_BYTES = 16 * 1024 // `kThroughputBufferLength` in node's src/crypto/crypto_bio.h
const BLOCKS = 128 // at once: the first ones come from where handshakes have been. The first page of each is resident: 512 KiB

/** What a first write is larger than that needs the buffer: node has 1 KiB without it, and a record takes 22 bytes around it. */
export const SMALL_WRITE = 1024 - 22

const blocks: ArrayBuffer[] = []

/** Right before the write. */
export function freeUntouched(): void {
  if (blocks.length === 0)
    for (let i = 0; i < BLOCKS; i++) blocks.push(Buffer.allocUnsafeSlow(BLOCK_BYTES).buffer as ArrayBuffer)
  blocks.pop()?.transfer(0)
}
