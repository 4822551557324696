/** HalfSipHash-1-3: a keyed hash of words, so that nobody outside can choose what falls into one bucket. */

export interface Digest {
  low: number
  high: number
}

const LENGTH_SHIFT = 24 // the last block holds the length in bytes

let v0 = 0
let v1 = 0
let v2 = 0
let v3 = 0

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits))

function round(): void {
  v0 = (v0 + v1) | 0
  v1 = rotate(v1, 5) ^ v0
  v0 = rotate(v0, 16)
  v2 = (v2 + v3) | 0
  v3 = rotate(v3, 8) ^ v2
  v0 = (v0 + v3) | 0
  v3 = rotate(v3, 7) ^ v0
  v2 = (v2 + v1) | 0
  v1 = rotate(v1, 13) ^ v2
  v2 = rotate(v2, 16)
}

function block(word: number): void {
  v3 ^= word
  round()
  v0 ^= word
}

/** Hashes three words (12 bytes) to 64 bits, which go into `out`. */
export function hash3(key0: number, key1: number, a: number, b: number, c: number, out: Digest): void {
  v0 = key0
  v1 = key1 ^ 0xee
  v2 = 0x6c79_6765 ^ key0
  v3 = 0x7465_6462 ^ key1
  block(a)
  block(b)
  block(c)
  block(12 << LENGTH_SHIFT)
  v2 ^= 0xee
  round()
  round()
  round()
  out.low = v1 ^ v3
  v1 ^= 0xdd
  round()
  round()
  round()
  out.high = v1 ^ v3
}
