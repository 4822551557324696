/**
 * Makes faults happen in a running balancer, in the thread that is named. Nothing in the product knows of it: `faultsOf` has the
 * runtime load `planted-faults.ts` before anything else, which only who sets the environment of the process can do.
 */
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Teardown } from './backend.ts'
import type { Fault } from './planted-faults.ts'

const PRELOAD = new URL('./planted-faults.ts', import.meta.url)

export interface Faults {
  /** For the environment of the balancer. */
  readonly env: Record<string, string>
  /** Makes it happen in `control` or a data thread (`0`, `1`, …). */
  plant(thread: number | 'control', fault: Fault): void
}

export function faultsOf(t: Teardown): Faults {
  const dir = mkdtempSync(join(tmpdir(), 'evenkeel-faults-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const url = `${PRELOAD.href}?dir=${encodeURIComponent(pathToFileURL(dir).href)}`
  return {
    env: { NODE_OPTIONS: `--import=${url}` },
    plant(thread, fault) {
      const file = join(dir, `${thread}`)
      writeFileSync(`${file}.new`, fault)
      renameSync(`${file}.new`, file) // whole, or not there
    },
  }
}
