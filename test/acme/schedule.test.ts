/** When certificates are renewed and failures repeated, by numbers. */
import t from 'tap'
import { afterRestart, isTemporary, renewAt, retryIn, TEMPORARY } from '../../lib/acme/schedule.ts'
import { type Credentials, keyPem, makeKey, pem, selfSigned } from '../../lib/tls/index.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

async function certificate(names: readonly string[], issuer = 'somebody'): Promise<Credentials> {
  const key = await makeKey('ec')
  const lifeMs = 90 * DAY - HOUR // it begins an hour ago
  const cert = pem('CERTIFICATE', selfSigned({ key, hosts: names, commonName: issuer, lifeMs }))
  const notAfter = Math.floor((Date.now() + lifeMs) / 1000) * 1000
  const facts = { keyType: 'ec', names: [...names], fingerprint256: '', warnings: [] }
  return { cert, key: keyPem(key), notAfter, issuer: `CN=${issuer}`, ...facts }
}

t.test('two thirds of its life, or a twentieth of its life sooner', async (t) => {
  const each = await certificate(['a.test', 'b.test'])
  const wanted = { names: ['b.test', 'a.test'], keyType: 'ec' } as const
  const days = (chance: number): number => (renewAt(each, wanted, chance) - (Date.now() - HOUR)) / DAY
  t.ok(Math.abs(days(0) - 60) < 0.01, `${days(0)}`)
  t.ok(Math.abs(days(1) - 55.5) < 0.01, `${days(1)}`)
})

t.test('what is not what is wanted is renewed at once', async (t) => {
  const each = await certificate(['a.test'])
  t.equal(renewAt(each, { names: ['a.test', 'b.test'], keyType: 'ec' }, 0), 0)
  t.equal(renewAt(each, { names: ['a.test'], keyType: 'rsa' }, 0), 0)
  const temporary = await certificate(['a.test'], TEMPORARY)
  t.equal(isTemporary(temporary), true)
  t.equal(renewAt(temporary, { names: ['a.test'], keyType: 'ec' }, 0), 0)
})

t.test('failures are repeated ever later, at most five tries in an hour, and twice a day at last', async (t) => {
  t.same(
    [1, 2, 3, 4].map((failures) => retryIn(failures, 0, 0.5) / MINUTE),
    [3, 6, 12, 24],
  )
  let tries = 0
  for (let at = 0; at < HOUR; at += retryIn(tries, 0, 0)) tries++ // with all of the jitter against us
  t.ok(tries <= 5, `${tries}`)
  t.equal(retryIn(40, 0, 0.5), 12 * HOUR)
  t.equal(retryIn(1, 5 * HOUR, 0.5), 5 * HOUR)
})

t.test('a process that starts tries soon, but not sooner than an authority wants', async (t) => {
  const now = Date.now()
  t.equal(afterRestart(now + HOUR, now, false), now + MINUTE)
  t.equal(afterRestart(now + HOUR, now, true), now + HOUR)
  t.equal(afterRestart(0, now, false), 0)
})
