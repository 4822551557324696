/** Runs test files of test/http over the engine `http-proxy`, as they are. */
import { fileURLToPath } from 'node:url'
import t from 'tap'

const FOLDER = new URL('../http/', import.meta.url)
const MOST_MS = 100_000 // for one file; most take two seconds

export async function overThisEngine(...names: readonly string[]): Promise<void> {
  t.setTimeout(names.length * MOST_MS)
  for (const name of names)
    await t.spawn(
      process.execPath,
      [fileURLToPath(new URL(`${name}.test.ts`, FOLDER))],
      { env: { ...process.env, EVENKEEL_TEST_ENGINE: 'http-proxy' }, timeout: MOST_MS },
      `${name}, over the engine http-proxy`,
    )
}
