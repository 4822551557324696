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

/** Starts a hash. One at a time: `absorb` and `finish` belong to the last one that was started. */
export function begin(key0: number, key1: number): void {
  v0 = key0
  v1 = key1 ^ 0xee
  v2 = 0x6c79_6765 ^ key0
  v3 = 0x7465_6462 ^ key1
}

export const absorb = block

/** Latin-1 text, four characters a word; its length is to be told to `finish`. */
export function absorbText(text: string): void {
  const { length } = text
  let i = 0
  for (; i + 3 < length; i += 4)
    block(
      text.charCodeAt(i) |
        (text.charCodeAt(i + 1) << 8) |
        (text.charCodeAt(i + 2) << 16) |
        (text.charCodeAt(i + 3) << 24),
    )
  let rest = 0
  for (let shift = 0; i < length; i++, shift += 8) rest |= text.charCodeAt(i) << shift
  block(rest)
}

/** The 64 bits of what was absorbed, `length` bytes of it, go into `out`. */
export function finish(length: number, out: Digest): void {
  block(length << LENGTH_SHIFT)
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

/** Hashes three words (12 bytes) to 64 bits, which go into `out`. */
export function hash3(key0: number, key1: number, a: number, b: number, c: number, out: Digest): void {
  begin(key0, key1)
  block(a)
  block(b)
  block(c)
  finish(12, out)
}
