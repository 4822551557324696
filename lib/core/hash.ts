/** Plain hashes of text and numbers, the same in every thread, process and release. Not keyed: see board/keyed-hash.ts for that. */

/** Mixes all 32 bits into each other (the finalizer of MurmurHash3). Signed: half of unsigned ones would be objects. */
export function mix32(n: number): number {
  let h = n ^ (n >>> 16)
  h = Math.imul(h, 0x85eb_ca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2_ae35)
  return h ^ (h >>> 16)
}

/** FNV-1a over the code units of `text`, mixed: any 32 bits, signed. */
export function hashText(text: string): number {
  let h = 0x811c_9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193)
  return mix32(h)
}
