/** What a start loads: node's own undici is 40 ms and 13 MB in each thread, and comes with any import of node:http. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

for (const [what, file] of [
  ['the control thread', '../../lib/cli/run.ts'],
  ['a data thread', '../../lib/datapaths/index.ts'],
] as const)
  t.test(`${what} does not load what only fetch and WebSocket need`, async (t) => {
    const url = new URL(file, import.meta.url)
    const script = `await import('${url.href}'); console.log(JSON.stringify(process.moduleLoadList))`
    const cwd = fileURLToPath(new URL('../..', import.meta.url))
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', cwd })
    const loaded: string[] = JSON.parse(output)
    t.ok(
      loaded.some((name) => name.endsWith(' net')),
      'it is the list',
    )
    t.same(
      loaded.filter((name) => name.includes('deps/undici')),
      [],
    )
  })
