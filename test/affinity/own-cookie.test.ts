/** Cookies of our own: nobody else makes one, none says where a backend is, and each ends in time. */
import t from 'tap'
import type { AffinityView, HttpSide } from '../../lib/affinity/index.ts'
import type { Backend } from '../../lib/pool/index.ts'
import { flow, KEY, type Rig, type RigOptions, rigOf } from './fixtures/rig.ts'

interface CookieRig extends Rig {
  readonly http: HttpSide
  readonly a: Backend
  readonly b: Backend
}

function cookies(view: Partial<AffinityView> = {}, options: RigOptions = {}): CookieRig {
  const rig = rigOf({ type: 'cookie', name: 'EKID', ...view }, options)
  const [a, b] = rig.backends
  const { http } = rig.built
  if (http === null || a === undefined || b === undefined) throw new Error('no cookies here')
  return { ...rig, http, a, b }
}

const valueIn = (setCookie: string): string => /^EKID=([^;]*)/.exec(setCookie)?.[1] ?? ''
const found = ({ built, http }: CookieRig, value: string): string =>
  built.affinity.find(flow('192.0.2.1', http.keyIn(`x=1; EKID=${value}`)))?.name ?? ''

t.test('what a client is given brings it back, in every thread and after a restart', (t) => {
  const rig = cookies()
  const text = rig.http.mark('', rig.b)
  t.match(text, /^EKID=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax$/)
  t.equal(found(rig, valueIn(text)), 'b')
  t.equal(found(cookies({}, { thread: 1, backends: ['b@10.0.0.2:80', 'z@10.0.0.9:80'] }), valueIn(text)), 'b')
  t.equal(rig.http.mark(rig.http.keyIn(`EKID=${valueIn(text)}`), rig.b), '', 'it is not given again')
  t.match(cookies({}, { secure: true }).http.mark('', rig.a), /; Secure$/)
  t.end()
})

t.test('a client that is bound anew gets a new one', (t) => {
  const rig = cookies()
  const key = rig.http.keyIn(`EKID=${valueIn(rig.http.mark('', rig.a))}`)
  t.not(key, '')
  const text = rig.http.mark(key, rig.b)
  t.equal(found(rig, valueIn(text)), 'b')
  t.end()
})

t.test('a cookie says nothing of the backend to others', (t) => {
  const [one, other] = [cookies(), cookies({ cookieKey: Buffer.alloc(32, 8) })]
  const bytesOf = (rig: CookieRig, backend: Backend): Buffer =>
    Buffer.from(valueIn(rig.http.mark('', backend)), 'base64url')
  const [mine, theirs] = [bytesOf(one, one.a), bytesOf(other, other.a)]
  t.notSame(mine.subarray(0, 8), theirs.subarray(0, 8), 'another key, another number for the same backend')
  for (const text of ['10.0.0.1', '80', 'a@']) t.notOk(mine.includes(text), text)
  t.notOk(mine.includes(Buffer.from([10, 0, 0, 1])))
  t.end()
})

t.test('forged, foreign and broken cookies are as good as none', (t) => {
  const rig = cookies()
  const good = valueIn(rig.http.mark('', rig.a))
  const bytes = Buffer.from(good, 'base64url')
  const changed = (at: number): string => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy.toString('base64url')
  }
  const rows: [string, string][] = [
    ['empty', ''],
    ['text', 'backend-a'],
    ['an address', '10.0.0.1'],
    ['right length, no signature', 'A'.repeat(43)],
    ['longer', `${good}A`],
    ['shorter', good.slice(0, -1)],
    ['quoted', `"${good}"`],
    ['padded', `${good}=`],
    ['the other alphabet of base64', Buffer.alloc(32, 0xff).toString('base64').replace('=', '')],
    ['its last bits set otherwise', good.slice(0, -1) + String.fromCharCode(good.charCodeAt(42) ^ 1)],
    ['of another key', valueIn(cookies({ cookieKey: Buffer.alloc(32, 9) }).http.mark('', rig.a))],
    ['of another service', valueIn(cookies({ scope: { name: 'pool other/', number: 1 } }).http.mark('', rig.a))],
    [
      'of another name',
      cookies({ name: 'OTHER' })
        .http.mark('', rig.a)
        .slice('OTHER='.length, 'OTHER='.length + 43),
    ],
    ...[...bytes.keys()].map((at): [string, string] => [`byte ${at} changed`, changed(at)]),
  ]
  for (const [title, value] of rows) {
    t.equal(rig.http.keyIn(`EKID=${value}`), '', title)
    t.equal(rig.http.keyIn(`EKID=${value}; EKID=${good}`), good, `${title}, before a good one`)
  }
  t.end()
})

t.test('a backend that is gone is not found, and what names it is replaced', (t) => {
  const before = cookies()
  const value = valueIn(before.http.mark('', before.a))
  const rig = cookies({}, { backends: ['b@10.0.0.2:80', 'c@10.0.0.3:80'] })
  t.equal(found(rig, value), '')
  t.match(rig.http.mark(rig.http.keyIn(`EKID=${value}`), rig.a), /^EKID=/)
  t.end()
})

t.test('maxIdle counts from the last use, and use renews the cookie in time', (t) => {
  const rig = cookies({ maxIdle: 80_000 })
  let value = valueIn(rig.http.mark('', rig.a))
  let renewed = 0
  for (let i = 0; i < 100; i++) {
    rig.clock.ms += 5000
    t.equal(found(rig, value), 'a')
    const text = rig.http.mark(rig.http.keyIn(`EKID=${value}`), rig.a)
    if (text === '') continue
    renewed++
    value = valueIn(text)
  }
  t.ok(renewed > 20 && renewed < 60, `${renewed} of 100 answers renewed it`)
  rig.clock.ms += 69_000 // an eighth of the time may have gone before it was renewed
  t.equal(found(rig, value), 'a')
  rig.clock.ms += 13_000
  t.equal(found(rig, value), '', 'idle for too long')
  t.end()
})

t.test('maxLife ends it however it is used', (t) => {
  const rig = cookies({ maxIdle: 60_000, maxLife: 300_000 })
  let value = valueIn(rig.http.mark('', rig.a))
  const end = rig.clock.ms + 300_000
  while (rig.clock.ms < end) {
    t.equal(found(rig, value), 'a')
    value = valueIn(rig.http.mark(rig.http.keyIn(`EKID=${value}`), rig.a)) || value
    rig.clock.ms += 20_000
  }
  rig.clock.ms += 2000
  t.equal(found(rig, value), '')
  t.match(rig.http.mark(rig.http.keyIn(`EKID=${value}`), rig.a), /^EKID=/, 'and it gets a new one')
  t.end()
})

t.test('services of a group honour each other’s cookies by name or host', (t) => {
  const scope = { name: 'group web/', number: 8192 }
  const one = cookies({ scope, grouped: true }, { backends: ['10.0.0.1:80@10.0.0.1:80', 'n@10.0.0.2:80'] })
  const other = cookies({ scope, grouped: true }, { backends: ['n@10.0.0.7:443', '10.0.0.1:443@10.0.0.1:443'] })
  t.equal(found(other, valueIn(one.http.mark('', one.a))), '10.0.0.1:443')
  t.equal(found(other, valueIn(one.http.mark('', one.b))), 'n')
  t.end()
})

t.test('many strangers do not slow down those that are known', (t) => {
  const rig = cookies({ cookieKey: KEY })
  const good = valueIn(rig.http.mark('', rig.a))
  rig.http.keyIn(`EKID=${good}`)
  for (let i = 0; i < 20_000; i++) rig.http.keyIn(`EKID=${String(i).padStart(43, 'A')}`)
  const begun = performance.now()
  for (let i = 0; i < 20_000; i++) rig.http.keyIn(`EKID=${good}`)
  const each = (performance.now() - begun) / 20_000
  t.ok(each < 0.02, `${(each * 1000).toFixed(2)} µs each`)
  t.end()
})
