/** The Huffman code of HPACK (RFC 7541 §5.2 and Appendix B), decoded four bits at a time. */

/** Bits of each symbol's code; the last one is the end of the string. The codes follow: they are canonical. */
export const LENGTHS = Uint8Array.of(
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
)
const EOS = 256
const INNER = 256 // inner nodes of a tree with 257 leaves

/** The children of each inner node: another one, or a leaf as -1 - symbol. */
const tree = ((): Int32Array => {
  const children = new Int32Array(INNER * 2)
  const symbols = [...LENGTHS.keys()].sort((a, b) => (LENGTHS[a] as number) - (LENGTHS[b] as number) || a - b)
  let code = 0
  let length = 0
  let nodes = 1
  for (const symbol of symbols) {
    const wanted = LENGTHS[symbol] as number
    code *= 2 ** (wanted - length)
    length = wanted
    let node = 0
    for (let bit = length - 1; bit > 0; bit--) {
      const at = node * 2 + (Math.floor(code / 2 ** bit) & 1)
      if (children[at] === 0) children[at] = nodes++
      node = children[at] as number
    }
    children[node * 2 + (code & 1)] = -1 - symbol
    code++
  }
  return children
})()

const EMITS = 1 << 16
const FAILS = -1

/** By node and four bits: the next node, with EMITS and a symbol above it; or FAILS. */
const STEPS = ((): Int32Array => {
  const steps = new Int32Array(INNER * 16)
  for (let node = 0; node < INNER; node++)
    for (let bits = 0; bits < 16; bits++) {
      let at = node
      let result = 0
      for (let bit = 3; bit >= 0 && result !== FAILS; bit--) {
        const next = tree[at * 2 + ((bits >> bit) & 1)] as number
        if (next >= 0) at = next
        else if (next === -1 - EOS) result = FAILS
        else {
          result = EMITS | ((-1 - next) << 8)
          at = 0
        }
      }
      steps[node * 16 + bits] = result === FAILS ? FAILS : result | at
    }
  return steps
})()

/** The nodes in which a string may end: padding is at most seven bits, all ones (RFC 7541 §5.2). */
const ENDS = ((): Uint8Array => {
  const ends = new Uint8Array(INNER)
  for (let node = 0, bits = 0; bits < 8; bits++) {
    ends[node] = 1
    node = tree[node * 2 + 1] as number
  }
  return ends
})()

/** Most bytes that `length` coded ones can mean: the shortest code has five bits. */
export const decodedAtMost = (length: number): number => Math.floor((length * 8) / 5) + 1

/** Decodes `from[start..end)` to `to[at..)`; answers where that ends, -1: it is no such string. */
export function decodeHuffman(from: Buffer, start: number, end: number, to: Buffer, at: number): number {
  let node = 0
  let out = at
  for (let p = start; p < end; p++) {
    const byte = from[p] as number
    let step = STEPS[node * 16 + (byte >> 4)] as number
    if (step < 0) return -1
    if (step >= EMITS) to[out++] = step >> 8
    node = step & 255
    step = STEPS[node * 16 + (byte & 15)] as number
    if (step < 0) return -1
    if (step >= EMITS) to[out++] = step >> 8
    node = step & 255
  }
  return ENDS[node] === 1 ? out : -1
}
