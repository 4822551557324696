/** The configurations that were in force, kept from run to run. */
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createLogger } from '../../lib/core/index.ts'
import { History, type PastConfig } from '../../lib/service/history.ts'

const log = createLogger()
const entry = (n: number): PastConfig => ({
  hash: `h${n}`,
  at: n,
  by: 'root',
  texts: [{ path: '/x.yaml', text: `# ${n}`, shown: `# ${n}` }],
})
const hashes = (history: History): string[] => history.entries.map(({ hash }) => hash)

t.test('the last ten are kept for their owner alone, and the next run goes on with them', async (t) => {
  const path = join(t.testdir(), 'state', 'configs.json')
  const first = new History(path, log)
  await first.begin(entry(0))
  for (let n = 1; n < 12; n++) await first.add(entry(n))
  t.strictSame(hashes(first), ['h11', 'h10', 'h9', 'h8', 'h7', 'h6', 'h5', 'h4', 'h3', 'h2'])
  t.equal((await stat(path)).mode & 0o777, 0o600)
  const same = new History(path, log)
  await same.begin(entry(11))
  t.strictSame(hashes(same), hashes(first), 'a restart on the same is no change')
  const other = new History(path, log)
  await other.begin(entry(20))
  t.strictSame(hashes(other), ['h20', 'h11', 'h10', 'h9', 'h8', 'h7', 'h6', 'h5', 'h4', 'h3'])
  t.strictSame(other.entries[1], entry(11))
})

t.test('a file that is none of ours is passed over, row by row where some are', async (t) => {
  const dir = t.testdir()
  const rows = [entry(1), { hash: 'h2', at: 'now' }, null, { ...entry(3), texts: [] }, entry(4)]
  for (const [text, known] of [
    ['', []],
    ['{', []],
    ['[]', []],
    [JSON.stringify({ version: 2, entries: rows }), []],
    [JSON.stringify({ version: 1, entries: rows }), ['h1', 'h4']],
  ] as const) {
    const path = join(dir, 'configs.json')
    await writeFile(path, text)
    const history = new History(path, log)
    await history.begin(entry(9))
    t.strictSame(hashes(history), ['h9', ...known], text)
  }
})

t.test('where it can not be written, or is off, it is kept in memory', async (t) => {
  const dir = t.testdir({ file: '' })
  for (const path of [null, join(dir, 'file', 'configs.json')]) {
    const history = new History(path, log)
    await history.begin(entry(0))
    await history.add(entry(1))
    t.strictSame(hashes(history), ['h1', 'h0'])
  }
})
