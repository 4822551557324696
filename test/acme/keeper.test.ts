/** The keeper of certificates with Let's Encrypt's test authority: renewal, failures, restarts, names that change. */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { type Credentials, loadCredentials } from '../../lib/tls/index.ts'
import { eventually } from '../support/eventually.ts'
import { aName, answerChallenges, emptyFolder, Kept } from './fixtures/kept.ts'
import { noPebble, type PebbleOptions, startPebble } from './fixtures/pebble.ts'

const MINUTE = 60_000

const load = (path: string): Promise<Credentials> => loadCredentials({ cert: path })

type Test = Parameters<typeof startPebble>[0]

/** Most tests have the same authority, and each its own names and account. */
const shared = noPebble ? null : await startPebble(t)
const current: { kept: Kept | null } = { kept: null }
const sharedAnswers = shared === null ? null : await answerChallenges(t, shared.httpPort, () => current.kept)

async function setUp(t: Test, options?: PebbleOptions) {
  const pebble = options === undefined ? shared : await startPebble(t, options)
  if (pebble === null) throw new Error('no pebble')
  const answers = options === undefined ? sharedAnswers : await answerChallenges(t, pebble.httpPort, () => current.kept)
  if (answers === null) throw new Error('nobody answers')
  answers.broken = false
  const folder = await emptyFolder(t)
  const ca = await readFile(pebble.ca, 'utf8')
  /** A process that starts, after the end of the one before. */
  const start = (more: Partial<ConstructorParameters<typeof Kept>[0]> = {}): Kept => {
    current.kept?.keeper.stop()
    const kept = new Kept({ directory: pebble.directory, folder, ca, ...more })
    current.kept = kept
    return kept
  }
  const logged = pebble.log().length
  /** How often pebble has been asked for something in this test. */
  const calls = (path: string): number => countOf(pebble.log().slice(logged), `POST ${path} -> calling`)
  t.teardown(() => current.kept?.keeper.stop())
  return { pebble, folder, start, answers, calls }
}

const countOf = (text: string, part: string): number => text.split(part).length - 1

t.test(
  'a certificate is temporary until there is one of the authority, and is renewed at two thirds of its life',
  { skip: noPebble },
  async (t) => {
    const { start } = await setUp(t, { badNonces: 40 })
    const kept = start()
    const wanted = { names: [aName(), aName()], keyType: 'ec' } as const
    const path = await kept.keeper.ensure(wanted)
    const before = await load(path)
    t.equal(before.issuer, 'CN=evenkeel temporary')
    t.same(before.names, wanted.names)
    t.match(kept.keeper.statusOf(path), { temporary: true, nextAt: 0, directory: 'localhost' })
    await kept.settle(wanted)
    const first = await load(path)
    t.match(first.issuer, 'Pebble')
    t.same([...first.names].sort(), [...wanted.names].sort())
    t.equal(first.keyType, 'ec')
    const leaf = new X509Certificate(first.cert)
    const life = first.notAfter - leaf.validFromDate.getTime()
    const status = kept.keeper.statusOf(path)
    t.match(status, { temporary: false, failures: 0, error: '' })
    const share = ((status?.nextAt ?? 0) - leaf.validFromDate.getTime()) / life
    t.ok(share > 0.61 && share <= 0.667, `${share}`)
    kept.keeper.look([wanted])
    t.equal(kept.keeper.statusOf(path)?.ordering, false, 'nothing is due')
    kept.advance((status?.nextAt ?? 0) - kept.now)
    // Its own clock says that the new one is due as well, so one look is all there is.
    kept.keeper.look([wanted])
    t.equal(kept.keeper.statusOf(path)?.ordering, true)
    await until(async () => (await load(path)).fingerprint256 !== first.fingerprint256)
    t.match((await load(path)).issuer, 'Pebble')
    t.same(kept.shown.at(-1), { http: [], alpn: [] }, 'nothing is answered any more')
  },
)

const until = (holds: () => Promise<boolean>): Promise<boolean> =>
  eventually('the next step', async () => (await holds()) || undefined, 15_000)

t.test('keys, certificates and account are for their owner alone', { skip: noPebble }, async (t) => {
  const { start, folder } = await setUp(t)
  const kept = start()
  await kept.settle({ names: [aName()], keyType: 'rsa' })
  const [authority = ''] = await readdir(folder)
  t.equal((await stat(join(folder, authority))).mode & 0o777, 0o700)
  const files = await readdir(join(folder, authority))
  t.equal(files.length, 4, files.join(' '))
  for (const file of files) t.equal((await stat(join(folder, authority, file))).mode & 0o777, 0o600, file)
})

t.test('a refusal is told, and tried again after a while that grows', { skip: noPebble }, async (t) => {
  const { start, answers } = await setUp(t)
  const kept = start()
  const wanted = { names: [aName()], keyType: 'ec' } as const
  answers.broken = true
  await kept.settle(wanted)
  const path = await kept.keeper.ensure(wanted)
  const status = kept.keeper.statusOf(path)
  t.match(status, { temporary: true, failures: 1, error: new RegExp(`^${wanted.names[0]}: unauthorized: .*404`) })
  const wait = (status?.nextAt ?? 0) - kept.now
  t.ok(wait >= 2.3 * MINUTE && wait <= 3.6 * MINUTE, `${wait}`)
  const asked = answers.asked
  kept.keeper.look([wanted])
  t.equal(kept.keeper.statusOf(path)?.ordering, false, 'not before its time')
  kept.advance(4 * MINUTE)
  await kept.settle(wanted)
  t.ok(answers.asked > asked)
  t.match(kept.keeper.statusOf(path), { failures: 2 })
  const second = (kept.keeper.statusOf(path)?.nextAt ?? 0) - kept.now
  t.ok(second > 4.7 * MINUTE && second <= 7.2 * MINUTE, `${second}`)
  answers.broken = false
  kept.advance(8 * MINUTE)
  await kept.settle(wanted)
  t.match(kept.keeper.statusOf(path), { temporary: false, failures: 0, error: '' })
  t.match(kept.keeper.counts, { issued: 1, failed: 2 })
})

t.test('a restart orders nothing that is there, and soon what failed', { skip: noPebble }, async (t) => {
  const { start, calls, answers } = await setUp(t)
  const good = { names: [aName()], keyType: 'ec' } as const
  const bad = { names: [aName()], keyType: 'ec' } as const
  const first = start()
  await first.settle(good)
  answers.broken = true
  await first.settle(bad)
  t.equal(calls('/order-plz'), 2)
  const again = start()
  const path = await again.keeper.ensure(good)
  t.match(again.keeper.statusOf(path), { temporary: false })
  const failed = again.keeper.statusOf(await again.keeper.ensure(bad))
  t.match(failed, { temporary: true, failures: 1, error: /unauthorized/ })
  const wait = (failed?.nextAt ?? 0) - again.now
  t.ok(wait > 0 && wait <= MINUTE, `${wait}`)
  again.keeper.look([good, bad])
  t.equal(calls('/order-plz'), 2)
})

t.test('an order goes on after a restart where it was', { skip: noPebble }, async (t) => {
  const { start, calls, answers } = await setUp(t)
  answers.asked = 0
  const wanted = { names: [aName(), aName()], keyType: 'ec' } as const
  // The first process is gone before the authority has been told to look.
  const first = start({ show: () => new Promise(() => {}) })
  const path = await first.keeper.ensure(wanted)
  first.keeper.look([wanted])
  const file = path.replace(/\.pem$/, '.json')
  await until(async () => (await readFile(file, 'utf8').catch(() => '')).includes('"url"'))
  await until(async () => first.keeper.challenges.http.length > 0)
  t.equal(answers.asked, 0)
  const kept = start()
  await kept.settle(wanted)
  t.match((await load(path)).issuer, 'Pebble')
  t.equal(calls('/order-plz'), 1, 'one order')
  t.equal(calls('/sign-me-up'), 1, 'one account')
})

t.test('an authority that has forgotten account and order gets new ones', { skip: noPebble }, async (t) => {
  const { pebble, folder, start } = await setUp(t)
  const kept = start()
  const wanted = { names: [aName()], keyType: 'ec' } as const
  await kept.settle(wanted)
  const path = await kept.keeper.ensure(wanted)
  const [authority = ''] = await readdir(folder)
  const account = join(folder, authority, 'account.json')
  const url = (JSON.parse(await readFile(account, 'utf8')) as { url: string }).url
  await writeFile(account, JSON.stringify({ url: `${url}forgotten` }))
  const other = { names: [...wanted.names, aName()], keyType: 'ec' } as const
  const { key } = await load(path)
  const order = { url: pebble.directory.replace('/dir', '/my-order/none'), key }
  const progress = (await start().keeper.ensure(other)).replace(/\.pem$/, '.json')
  await writeFile(progress, JSON.stringify({ order, failures: 0, tryAt: 0, error: '' }))
  const again = start()
  await again.settle(other)
  t.match(await load(await again.keeper.ensure(other)), { names: { length: 2 } })
  t.equal((JSON.parse(await readFile(account, 'utf8')) as { url: string }).url, url, 'the key finds its account')
})

t.test(
  'names that are added are served by the certificate for the others until theirs is there',
  { skip: noPebble },
  async (t) => {
    const { start } = await setUp(t)
    const kept = start()
    const [one, two] = [aName(), aName()]
    await kept.settle({ names: [one], keyType: 'ec' })
    const more = { names: [one, two], keyType: 'ec' } as const
    const path = await kept.keeper.ensure(more)
    t.match(await load(path), { names: [one], issuer: /Pebble/ })
    t.match(kept.keeper.statusOf(path), { temporary: false, nextAt: 0 })
    await kept.settle(more)
    t.same([...(await load(path)).names].sort(), [one, two].sort())
  },
)

t.test('of certificates that share a name one is ordered after the other', { skip: noPebble }, async (t) => {
  const { start } = await setUp(t)
  const kept = start()
  const name = aName()
  const both = [{ names: [name], keyType: 'ec' } as const, { names: [name, aName()], keyType: 'rsa' } as const]
  await kept.settle(...both)
  for (const wanted of both)
    t.match(await load(await kept.keeper.ensure(wanted)), { keyType: wanted.keyType, issuer: /Pebble/ })
  t.ok(kept.shown.every(({ http }) => http.length <= 2))
  t.equal(kept.keeper.counts.failed, 0)
})

t.test('an authority that knows its customers from elsewhere is told who we are', { skip: noPebble }, async (t) => {
  const secret = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
  const { start } = await setUp(t, { eab: { customer: secret } })
  const wanted = { names: [aName()], keyType: 'ec' } as const
  const without = start()
  await without.settle(wanted)
  t.match(without.keeper.statusOf(await without.keeper.ensure(wanted)), { error: /appliance\.acme\.eab/ })
  const kept = start({ eab: { kid: 'customer', secret } })
  kept.advance(2 * MINUTE)
  await kept.settle(wanted)
  kept.advance(2 * MINUTE)
  await kept.settle(wanted)
  t.match(kept.keeper.statusOf(await kept.keeper.ensure(wanted)), { temporary: false, error: '' })
})

t.test('a folder that can not be used keeps the balancer from starting, and says what to do', async (t) => {
  const folder = join(await emptyFolder(t), 'file')
  await writeFile(folder, '')
  const kept = new Kept({ directory: 'https://127.0.0.1:1/dir', folder, ca: undefined })
  await t.rejects(kept.keeper.ensure({ names: ['a.test'], keyType: 'ec' }), {
    code: 'TLS_CERTIFICATE',
    message: /the certificate for a\.test can't be kept in .*ENOTDIR.*appliance\.acme\.folder/,
  })
})

t.test('a key of the account that can not be read is not replaced', { skip: noPebble }, async (t) => {
  const { start, folder } = await setUp(t)
  const wanted = { names: [aName()], keyType: 'ec' } as const
  const path = await start().keeper.ensure(wanted)
  const key = join(path, '..', 'account.key')
  await writeFile(key, 'damaged')
  const kept = start()
  await kept.settle(wanted)
  t.match(kept.keeper.statusOf(path), { temporary: true, failures: 1 })
  t.equal(await readFile(key, 'utf8'), 'damaged')
  t.equal(path.startsWith(folder), true)
  await rm(key)
  kept.advance(5 * MINUTE)
  await kept.settle(wanted)
  t.match(kept.keeper.statusOf(path), { temporary: false, error: '' })
})

t.test('nobody at the directory is told, and tried again', async (t) => {
  const kept = new Kept({ directory: 'https://127.0.0.1:1/dir', folder: await emptyFolder(t), ca: undefined })
  const wanted = { names: [aName()], keyType: 'ec' } as const
  await kept.settle(wanted)
  t.match(kept.keeper.statusOf(await kept.keeper.ensure(wanted)), {
    temporary: true,
    error: /127\.0\.0\.1:1: connect failed: ECONNREFUSED/,
  })
})
