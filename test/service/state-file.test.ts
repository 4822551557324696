/** The state file on disk: whole whatever happens, and on disk when it says so. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { Logger } from '../../lib/core/index.ts'
import { putAside, readState, StateFile } from '../../lib/service/state-file.ts'

const KILLS = Number(process.env['EVENKEEL_KILLS'] ?? 10)
const WRITER = fileURLToPath(new URL('fixtures/state-writer.ts', import.meta.url))

async function folder(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-state-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Keeps what is logged. */
function notes(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const note = (text: string): void => void lines.push(text)
  return { log: { warn: note, info: note } as unknown as Logger, lines }
}

t.test('it is made with its folder, for its owner alone, and leaves nothing beside it', async (t) => {
  const dir = await folder(t)
  const path = join(dir, 'a', 'b', 'state.json')
  const file = new StateFile(path, () => 'text', notes().log)
  t.equal(await file.save(), null)
  t.equal(await readFile(path, 'utf8'), 'text')
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.strictSame(await readdir(join(dir, 'a', 'b')), ['state.json'])
})

t.test('what held when save was called is on disk when it resolves, and calls share writes', async (t) => {
  const path = join(await folder(t), 'state.json')
  let n = 0
  let writes = 0
  const file = new StateFile(
    path,
    () => {
      writes++
      return String(n)
    },
    notes().log,
  )
  const saves: Promise<void>[] = []
  for (let i = 1; i <= 500; i++) {
    n = i
    saves.push(
      file.save().then(async () => {
        t.ok(Number(await readFile(path, 'utf8')) >= i, `change ${i}`)
      }),
    )
    if (i % 50 === 0) await new Promise((done) => setImmediate(done))
  }
  await Promise.all(saves)
  t.ok(writes < 100, `${writes} writes for 500 changes`)
})

t.test(
  'a draft left behind, even one that is a link to somewhere else, is no obstacle and is not followed',
  async (t) => {
    const dir = await folder(t)
    const path = join(dir, 'state.json')
    const elsewhere = join(dir, 'precious')
    await writeFile(elsewhere, 'precious')
    await symlink(elsewhere, `${path}.new`)
    t.equal(await new StateFile(path, () => 'text', notes().log).save(), null)
    t.equal(await readFile(elsewhere, 'utf8'), 'precious')
    t.equal(await readFile(path, 'utf8'), 'text')
  },
)

t.test(
  'where it can not be written save says why, the log says so once, and the next one that works too',
  async (t) => {
    const dir = await folder(t)
    await writeFile(join(dir, 'blocked'), '')
    const path = join(dir, 'blocked', 'state.json')
    const { log, lines } = notes()
    const file = new StateFile(path, () => 'text', log)
    for (let i = 0; i < 3; i++) t.match(await file.save(), /state\.json can't be written: E\w+/)
    t.equal(lines.length, 1)
    await rm(join(dir, 'blocked'))
    t.equal(await file.save(), null)
    t.match(lines[1], 'is written again')
  },
)

const small = await mkdtemp(join(tmpdir(), 'evenkeel-small-'))
t.teardown(() => rm(small, { recursive: true, force: true }))
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'evenkeel', small]).status === 0
const skip = mounted ? false : 'this user may not mount a small file system'

t.test('a full disk leaves the file as it was', { skip }, async (t) => {
  const dir = small
  t.teardown(() => spawnSync('umount', [dir]))
  const path = join(dir, 'state.json')
  let text = 'small'
  const { log } = notes()
  const file = new StateFile(path, () => text, log)
  t.equal(await file.save(), null)
  text = 'x'.repeat(128 * 1024)
  t.match(await file.save(), /can't be written: ENOSPC/)
  t.equal(await readFile(path, 'utf8'), 'small')
  t.strictSame(await readdir(dir), ['state.json'], 'no half a draft stays on the full disk')
  text = 'small again'
  t.equal(await file.save(), null)
  t.equal(await readFile(path, 'utf8'), 'small again')
})

t.test('what can not be read is passed over with a warning; that there is none is no news', async (t) => {
  const dir = await folder(t)
  const { log, lines } = notes()
  t.equal(await readState(join(dir, 'none'), log), null)
  t.strictSame(lines, [])
  await mkdir(join(dir, 'folder'))
  t.equal(await readState(join(dir, 'folder'), log), null)
  t.match(lines[0], /folder is passed over: EISDIR/)
  if (process.getuid?.() !== 0) {
    await writeFile(join(dir, 'secret'), '')
    await chmod(join(dir, 'secret'), 0)
    t.equal(await readState(join(dir, 'secret'), log), null)
  }
  await writeFile(join(dir, 'torn'), '{"vers')
  await putAside(join(dir, 'torn'), 'it is not whole', log)
  t.match(lines.at(-1), 'torn is passed over: it is not whole; it is now')
  t.equal(await readFile(join(dir, 'torn.broken'), 'utf8'), '{"vers')
})

t.test(
  `a writer that is killed in the midst of it, ${KILLS} times: each change that was acknowledged is there`,
  async (t) => {
    const path = join(await folder(t), 'state.json')
    let last = 0
    for (let i = 0; i < KILLS; i++) {
      const child = spawn(process.execPath, [WRITER, path, String(last)], { stdio: ['ignore', 'pipe', 'inherit'] })
      let acknowledged = last
      const enough = 1 + Math.floor(Math.random() * 40)
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = text.trim().split('\n')
        acknowledged = Math.max(acknowledged, Number(lines.at(-1)))
        if (acknowledged - last >= enough) child.kill('SIGKILL')
      })
      const [, signal] = await once(child, 'close')
      t.equal(signal, 'SIGKILL')
      const { n, text } = JSON.parse(await readFile(path, 'utf8')) as { n: number; text: string }
      t.ok(n >= acknowledged, `${n} is on disk, ${acknowledged} was acknowledged`)
      t.equal(text.length, 20_000, 'and it is whole')
      last = n
    }
  },
)
