/** The name that was probably meant. */

const MAX_LENGTH = 64 // of a name; the table below is quadratic

/** ` (did you mean shop?)`, or nothing when no name is near enough to be a typing error. */
export function suggestion(name: string, names: Iterable<string>): string {
  let best: string | undefined
  let least = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of name.length > MAX_LENGTH ? [] : names) {
    const n = distance(name.toLowerCase(), candidate.toLowerCase())
    if (n >= least) continue
    least = n
    best = candidate
  }
  return best === undefined ? '' : ` (did you mean ${best}?)`
}

/** Insertions, deletions and replacements that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced))
    }
    above = row
  }
  return above[b.length] ?? 0
}
