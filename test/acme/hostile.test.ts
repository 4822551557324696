/** Authorities that limit us, lie, or are none: what was there stays, the reason is told, and nothing leads elsewhere. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { AcmeStatus } from '../../lib/acme/index.ts'
import { type FakeAuthority, type Lies, problem, startAuthority, strange } from './fixtures/authority.ts'
import { aName, emptyFolder, Kept } from './fixtures/kept.ts'

const HOUR = 3_600_000

interface Tried {
  readonly status: AcmeStatus
  readonly kept: Kept
  readonly authority: FakeAuthority
  readonly folder: string
  readonly path: string
}

type Test = Parameters<typeof startAuthority>[0]

async function tried(t: Test, lies: (names: readonly string[], key: () => Promise<string>) => Lies): Promise<Tried> {
  const names = [aName()]
  const authority = await startAuthority(t, names[0] ?? '')
  const folder = await emptyFolder(t)
  /** Of the order under way. */
  const key = async (): Promise<string> => {
    const [dir = ''] = await readdir(folder)
    const file =
      (await readdir(join(folder, dir))).find((name) => name.endsWith('.json') && name !== 'account.json') ?? ''
    return (JSON.parse(await readFile(join(folder, dir, file), 'utf8')) as { order: { key: string } }).order.key
  }
  authority.lies = lies(names, key)
  const kept = new Kept({ directory: authority.directory, folder, ca: authority.ca })
  t.teardown(() => kept.keeper.stop())
  const wanted = { names, keyType: 'ec' } as const
  await kept.settle(wanted)
  const path = await kept.keeper.ensure(wanted)
  const status = kept.keeper.statusOf(path)
  if (status === null) throw new Error('no status')
  return { status, kept, authority, folder, path }
}

t.test('an authority that keeps to the rules is believed', async (t) => {
  const { status, kept } = await tried(t, (names, key) => ({
    'POST /certificate': async () => ({ body: await strange(names, await key()) }),
  }))
  t.match(status, { temporary: false, failures: 0, error: '' })
  t.same(kept.keeper.counts, { issued: 1, failed: 0 })
})

for (const [title, headers, least] of [
  ['seconds', { 'retry-after': '7200' }, 2 * HOUR],
  ['a date', { 'retry-after': new Date(Date.now() + 3 * HOUR).toUTCString() }, 2.9 * HOUR],
] as const)
  t.test(`a limit is obeyed until the time that the authority says, in ${title}, and over a restart`, async (t) => {
    const { status, kept, authority, folder, path } = await tried(t, () => ({
      'POST /new-order': () => problem('rateLimited', 'too many orders', 429, headers),
    }))
    t.match(status, { failures: 1, error: /rateLimited: too many orders/ })
    t.ok(status.nextAt - kept.now >= least - 5000, `${status.nextAt - kept.now}`)
    const again = new Kept({ directory: authority.directory, folder, ca: authority.ca })
    const names = [/(t\d+\.test)/.exec(path)?.[1] ?? '']
    await again.keeper.ensure({ names, keyType: 'ec' })
    t.equal(again.keeper.statusOf(path)?.nextAt, status.nextAt)
  })

t.test('nonces that are refused are replaced, and not for ever', async (t) => {
  let refused = 0
  const bad = (): ReturnType<typeof problem> | undefined =>
    ++refused <= 5 ? problem('badNonce', 'unknown nonce', 400) : problem('unauthorized', 'no account for you')
  const some = await tried(t, () => ({ 'POST /account': bad }))
  t.match(some.status, { error: /unauthorized: no account for you/ })
  t.equal(refused, 6)
  const ever = await tried(t, () => ({ 'POST /account': () => problem('badNonce', 'unknown nonce', 400) }))
  t.match(ever.status, { error: /badNonce/ })
  t.ok(ever.authority.calls.length < 20)
})

const LIES: Readonly<
  Record<string, readonly [lies: (names: readonly string[], key: () => Promise<string>) => Lies, told: RegExp]>
> = {
  'a page in place of a directory': [
    () => ({ 'GET /dir': () => ({ body: '<html>' }) }),
    /no ACME directory: it has no newOrder/,
  ],
  'a directory without https': [
    () => ({
      'GET /dir': () => ({
        body: { newNonce: 'http://127.0.0.1:1/', newAccount: 'http://127.0.0.1:1/', newOrder: 'x' },
      }),
    }),
    /names http:\/\/127\.0\.0\.1:1\/, which is not https/,
  ],
  'a token that climbs': [
    (names) => ({
      'POST /authz': () => ({ body: authorization(names[0], { token: '../../../etc/passwd/etc/passwd' }) }),
    }),
    /a token that is none/,
  ],
  'a token that is too short to be secret': [
    (names) => ({ 'POST /authz': () => ({ body: authorization(names[0], { token: 'short' }) }) }),
    /a token that is none/,
  ],
  'a proof for a name that is not ordered': [
    () => ({ 'POST /authz': () => ({ body: authorization('other.test', {}) }) }),
    /a name that was not ordered/,
  ],
  'other challenges only': [
    (names) => ({ 'POST /authz': () => ({ body: authorization(names[0], { type: 'dns-01' }) }) }),
    /the authority offers dns-01, not http-01/,
  ],
  'an order without an address': [
    () => ({ 'POST /new-order': () => ({ status: 201 }) }),
    /an order without an address/,
  ],
  'an order that is refused with reasons': [
    () => ({
      'POST /new-order': () => ({
        status: 400,
        body: {
          type: 'urn:ietf:params:acme:error:compound',
          detail: 'two of them',
          subproblems: [{ type: 'urn:ietf:params:acme:error:caa', detail: 'forbidden by CAA' }],
        },
      }),
    }),
    /compound: two of them; caa: forbidden by CAA/,
  ],
  'no certificate': [
    () => ({ 'POST /certificate': () => ({ body: 'sorry' }) }),
    /not usable: there is none in the answer/,
  ],
  'a certificate for another key': [
    (names) => ({ 'POST /certificate': async () => ({ body: await strange(names) }) }),
    /not usable: it is for another key/,
  ],
  'a certificate for other names': [
    (_names, key) => ({ 'POST /certificate': async () => ({ body: await strange(['a.test'], await key()) }) }),
    /not usable: it is not for t\d+\.test/,
  ],
  'a certificate that has expired': [
    (names, key) => ({ 'POST /certificate': async () => ({ body: await strange(names, await key(), -1) }) }),
    /not usable: it has expired/,
  ],
  'a chain of strangers': [
    (names, key) => ({
      'POST /certificate': async () => ({ body: (await strange(names, await key())) + (await strange(['b.test'])) }),
    }),
    /not usable: its chain is broken/,
  ],
  'a damaged certificate': [
    () => ({ 'POST /certificate': () => ({ body: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }) }),
    /not usable: it is damaged/,
  ],
  'an error page': [() => ({ 'POST /new-order': () => ({ status: 502, body: '<html>' }) }), /it answered 502/],
}

const authorization = (value: string | undefined, challenge: object) => ({
  status: 'pending',
  identifier: { type: 'dns', value },
  challenges: [
    { type: 'http-01', status: 'pending', url: 'https://127.0.0.1:1/', token: 'a'.repeat(43), ...challenge },
  ],
})

for (const [title, [lies, told]] of Object.entries(LIES))
  t.test(`refused: ${title}`, async (t) => {
    const { status, kept, path } = await tried(t, lies)
    t.match(status, { temporary: true, failures: 1, error: told })
    t.match(await readFile(path, 'utf8'), 'PRIVATE KEY', 'the one before is served')
    t.same(kept.keeper.challenges, { http: [], alpn: [] })
  })
