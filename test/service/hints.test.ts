/** What the kernel tells of files that change: in each of the ways in which tools replace certificates. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Hints } from '../../lib/service/hints.ts'
import { eventually } from '../support/eventually.ts'

/** Why the kernel tells nothing here; false: it does. */
async function noHints(): Promise<string | false> {
  const dir = mkdtempSync(join(tmpdir(), 'evenkeel-hints-'))
  try {
    const told = Promise.withResolvers<boolean>()
    const watcher = watch(dir, () => told.resolve(true))
    const timer = setTimeout(() => told.resolve(false), 3000)
    writeFileSync(join(dir, 'file'), '')
    const works = await told.promise
    clearTimeout(timer)
    watcher.close()
    return works ? false : 'needs a file system that tells of changes'
  } catch {
    return 'needs a file system that tells of changes'
  } finally {
    rmSync(dir, { recursive: true })
  }
}
const skip = await noHints()

interface Followed {
  readonly hints: Hints
  /** Does `act`, and waits for a hint behind it. */
  readonly tells: (what: string, act: () => void) => Promise<void>
  readonly count: () => number
}

async function follow(t: Test, paths: readonly string[]): Promise<Followed> {
  let count = 0
  const hints = new Hints(() => count++)
  t.teardown(() => hints.stop())
  await hints.follow(paths)
  const tells = async (what: string, act: () => void): Promise<void> => {
    const before = count
    act()
    await eventually(`a hint of ${what}`, () => count > before)
    t.pass(`a hint of ${what}`)
    await hints.follow(paths)
  }
  return { hints, tells, count: () => count }
}

t.test('a file that is written, replaced, removed and made anew', { skip }, async (t) => {
  const file = join(t.testdir({ 'a.pem': 'one', 'other.pem': '' }), 'a.pem')
  const { tells } = await follow(t, [file])
  await tells('a write', () => writeFileSync(file, 'two'))
  await tells('a rename', () => {
    writeFileSync(`${file}.new`, 'three')
    renameSync(`${file}.new`, file)
  })
  await tells('a removal', () => unlinkSync(file))
  await tells('a new file', () => writeFileSync(file, 'four'))
})

t.test('what else changes in a folder is no hint', { skip }, async (t) => {
  const dir = t.testdir({ 'a.pem': 'one' })
  let told = 0
  const other = watch(dir, (_kind, name) => {
    if (name === 'log') told++
  })
  t.teardown(() => other.close())
  const { tells, count } = await follow(t, [join(dir, 'a.pem')])
  for (let i = 0; i < 20; i++) writeFileSync(join(dir, 'log'), String(i))
  await eventually('the kernel telling of the others', () => told > 0)
  const before = count()
  await tells('the file', () => writeFileSync(join(dir, 'a.pem'), 'two'))
  t.equal(before, 0)
})

t.test('a link that is set anew, and the file behind it', { skip }, async (t) => {
  const dir = t.testdir({ live: {}, archive: { '1.pem': 'one', '2.pem': 'two' } })
  const link = join(dir, 'live/a.pem')
  symlinkSync('../archive/1.pem', link)
  const { tells } = await follow(t, [link])
  await tells('the file', () => writeFileSync(join(dir, 'archive/1.pem'), 'other'))
  await tells('the link', () => {
    symlinkSync('../archive/2.pem', `${link}.new`)
    renameSync(`${link}.new`, link)
  })
  await tells('the other file', () => writeFileSync(join(dir, 'archive/2.pem'), 'other'))
})

t.test('a volume of Kubernetes, whose ..data leads to another folder each time', { skip }, async (t) => {
  const dir = t.testdir({})
  const swap = (version: number): void => {
    mkdirSync(join(dir, `..${version}`))
    writeFileSync(join(dir, `..${version}`, 'tls.crt'), String(version))
    symlinkSync(`..${version}`, join(dir, '..data_tmp'))
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
    if (version > 1) rmSync(join(dir, `..${version - 1}`), { recursive: true })
  }
  swap(1)
  symlinkSync('..data/tls.crt', join(dir, 'tls.crt'))
  const { tells } = await follow(t, [join(dir, 'tls.crt')])
  for (const version of [2, 3, 4]) await tells(`version ${version}`, () => swap(version))
})

t.test('a folder that another one takes the place of', { skip }, async (t) => {
  const dir = t.testdir({ now: { 'a.pem': 'one' }, next: { 'a.pem': 'two' } })
  const file = join(dir, 'now/a.pem')
  const { tells } = await follow(t, [file])
  await tells('the change', () => {
    renameSync(join(dir, 'now'), join(dir, 'before'))
    renameSync(join(dir, 'next'), join(dir, 'now'))
  })
  await tells('a write in it', () => writeFileSync(file, 'three'))
})

t.test('files that are not there, circles of links, and an end while they are looked for', async (t) => {
  const dir = t.testdir({})
  symlinkSync('b', join(dir, 'a'))
  symlinkSync('a', join(dir, 'b'))
  const { hints } = await follow(t, [join(dir, 'nowhere/a.pem'), join(dir, 'a')])
  const following = hints.follow([join(dir, 'a')])
  hints.stop()
  await following
  t.pass('nothing throws')
})
