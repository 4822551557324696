/** Finds the word that was probably meant. */

const MAX_WORD = 64 // longer words are no typing errors of ours, and the table below is quadratic

/** The nearest of `words` when it is near enough to be a typing error. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD) return undefined
  const given = word.toLowerCase()
  let best: string | undefined
  let least = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const candidate of words) {
    const n = distance(given, candidate.toLowerCase())
    if (n < least) {
      least = n
      best = candidate
    }
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let n = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) n = Math.min(n, (before[j - 2] ?? 0) + 1)
      row.push(n)
    }
    before = above
    above = row
  }
  return above[b.length] ?? 0
}
