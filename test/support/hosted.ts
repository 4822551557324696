/** What `import t from 'tap'` gives a file that test/support/host.ts runs beside others in one process: the file's own subtest. */
import type { Test } from 'tap'

let guest: Test | null = null

/** To be called before the file is imported. */
export function beHost(t: Test): void {
  guest = t
}

export function asGuest(): Test {
  if (guest === null) throw new Error('no file is run')
  return guest
}
