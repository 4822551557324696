/** What a body holds: made of the request's id alone, so that a byte of another's answer, or a lost one, is seen. */

const BLOCK = 512 // each begins with its place, so that lost, doubled and swapped blocks differ

export function contentOf(id: string, size: number): Buffer {
  const bytes = Buffer.alloc(size, `${id}.`, 'latin1')
  for (let at = 0; at < size; at += BLOCK) bytes.write(`${id}@${at};`, at, 'latin1')
  return bytes
}

/** What came in place of it, short enough for a journal. */
export function differenceOf(expected: Buffer, got: Buffer): string {
  let at = 0
  while (at < expected.length && at < got.length && expected[at] === got[at]) at++
  const seen = JSON.stringify(got.toString('latin1', at, at + 40))
  return `${got.length}-bytes-for-${expected.length},-other-from-${at}:${seen.replaceAll(' ', '_')}`
}
