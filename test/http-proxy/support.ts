/** Runs test files of test/http over the engine `http-proxy`, as they are. */
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HOST = fileURLToPath(new URL('../support/host.ts', import.meta.url))
const FOLDER = new URL('../http/', import.meta.url)
const MOST_MS = 100_000 // for one file; most take two seconds

export async function overThisEngine(...names: readonly string[]): Promise<void> {
  const timeout = names.length * MOST_MS
  t.setTimeout(timeout)
  await t.spawn(
    process.execPath,
    [HOST, ...names.map((name) => fileURLToPath(new URL(`${name}.test.ts`, FOLDER)))],
    { env: { ...process.env, EVENKEEL_TEST_ENGINE: 'http-proxy' }, timeout },
    'over the engine http-proxy',
  )
}
