/** The table of clients: connections and requests of each are counted exactly, over threads, evictions and deaths. */
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import t from 'tap'
import { Board, Clients, paceOf, REFUSED, UNLIMITED } from '../../lib/board/index.ts'
import { CLIENTS, clientsOffset } from '../../lib/board/layout.ts'
import type { ClientJob, ClientReport } from './fixtures/client.ts'

const ENTRY = new URL('./fixtures/client.ts', import.meta.url)
const bucketOf = (entry: number): number => Math.floor(entry / CLIENTS.ways)
const address = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`

/** Addresses of one bucket: as many as an attacker who knew the key could find. */
function crowd(board: Board, size: number, row = 7): string[] {
  const clients = new Clients(board.clients, 0, row)
  const found: string[] = []
  let bucket = -1
  for (let n = 1; found.length < size; n++) {
    const entry = clients.open(address(n), 0, 0)
    if (bucket < 0) bucket = bucketOf(entry)
    if (bucketOf(entry) === bucket) found.push(address(n))
    clients.close(entry)
  }
  return found
}

/** The words that rule the entries of a client's bucket. */
function controlsOf(board: Board, entry: number): { words: Int32Array; at: number[] } {
  const start = clientsOffset(board.threads) + CLIENTS.headerWords * 4
  const words = new Int32Array(board.buffer, start, CLIENTS.entries * CLIENTS.words)
  const first = bucketOf(entry) * CLIENTS.ways
  return { words, at: Array.from({ length: CLIENTS.ways }, (_, i) => (first + i) * CLIENTS.words) }
}

t.test('addresses of one client', (t) => {
  const board = new Board(1)
  const clients = new Clients(board.clients, 0, 0)
  const entryOf = (text: string): number => {
    const entry = clients.open(text, 0, 0)
    clients.close(entry)
    return entry
  }
  const same: readonly (readonly string[])[] = [
    ['192.0.2.1', '::ffff:192.0.2.1', '0:0:0:0:0:ffff:192.0.2.1'],
    ['2001:db8:1:2::', '2001:db8:1:2::1', '2001:0db8:0001:0002:ffff:ffff:ffff:ffff', '2001:DB8:1:2:3:4:192.0.2.1'],
    ['2001:db8::', '2001:db8:0:0:1::', '2001:db8::1', '2001:db8::4:5:6:7', '2001:db8::5:6:192.0.2.1'],
    ['1:0:0:4::', '1::4:5:6:7:8'],
    ['0:2:3:4::', '::2:3:4:5:6:7:8'],
    ['1:2:3::', '1:2:3::5:6:192.0.2.1'],
    ['fe80::1%eth0', 'fe80::2%lo'],
    ['', 'unknown', '300.1.1.1', '1::2::3'],
    ['::', '::1', '::ffff:1'],
    ['192.0.2.2'],
    ['255.255.255.255'],
    ['0.0.0.0'],
  ]
  const entries = same.map((texts) => [...new Set(texts.map(entryOf))])
  for (const [i, texts] of same.entries()) t.equal(entries[i]?.length, 1, texts.join(' = '))
  t.equal(new Set(entries.flat()).size, same.length, 'and of no other')
  t.end()
})

t.test('any two different IPv4 addresses, and any two different /64, are two clients', (t) => {
  const board = new Board(1)
  const clients = new Clients(board.clients, 0, 1)
  const prefix = (text: string): string => new URL(`http://[${text}]`).hostname
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.oneof(fc.ipV4(), fc.ipV6()), (a, b) => {
      const [x, y] = [a, b].map((text) => clients.open(text, 0, 0)) as [number, number]
      clients.close(x)
      clients.close(y)
      if (!a.includes(':') || !b.includes(':')) {
        const v4 = (text: string): boolean => !text.includes(':') || prefix(text).startsWith('[::ffff:')
        return (x === y) === (a === b) || (v4(a) && v4(b))
      }
      return (x === y) === (groupsOf(prefix(a)) === groupsOf(prefix(b)))
    }),
  )
  t.end()
})

/** The first four groups of an address as a URL shows it; all mapped IPv4 addresses are left out of the comparison. */
function groupsOf(hostname: string): string {
  const text = hostname.slice(1, -1)
  const [left = '', right] = text.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const zeros = right === undefined ? [] : Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail].slice(0, 4).join(':')
}

t.test('a client has as many connections as it may, and one more when one has ended', (t) => {
  const board = new Board(2)
  const clients = new Clients(board.clients, 0, 3)
  const elsewhere = new Clients(board.clients, 1, 3)
  const entry = clients.open('192.0.2.1', 3, 0)
  t.ok(entry >= 0)
  t.equal(clients.open('192.0.2.1', 3, 0), entry)
  t.equal(elsewhere.open('192.0.2.1', 3, 0), entry, 'all threads count together')
  t.equal(clients.open('192.0.2.1', 3, 0), REFUSED)
  t.equal(elsewhere.open('192.0.2.1', 3, 0), REFUSED)
  t.equal(clients.connections(entry), 3)
  t.ok(clients.open('192.0.2.2', 3, 0) >= 0, 'another client is not concerned')
  t.ok(new Clients(board.clients, 0, 4).open('192.0.2.1', 3, 0) >= 0, 'nor is another service')
  elsewhere.close(entry)
  t.equal(clients.open('192.0.2.1', 3, 0), entry)
  t.equal(clients.open('192.0.2.1', 3, 0), REFUSED)
  t.end()
})

t.test('without a limit a client has as many as can be counted, and is not limited above', (t) => {
  const clients = new Clients(new Board(1).clients, 0, 0)
  let entry = UNLIMITED
  for (let i = 0; i < 65_535; i++) entry = clients.open('192.0.2.1', 0, 0)
  t.equal(clients.connections(entry), 65_535)
  t.equal(clients.open('192.0.2.1', 0, 0), UNLIMITED)
  for (let i = 0; i < 65_535; i++) clients.close(entry)
  t.equal(clients.connections(entry), 0)
  t.equal(clients.open('192.0.2.1', 1, 0), entry)
  t.end()
})

t.test('a burst goes on at once, the next request as soon as its time has come and not before', (t) => {
  for (const [rate, burst] of [
    [10, 5],
    [1, 1],
    [100, 200],
    [3, 7],
    [70_000, 100],
    [0.5, 2],
    [1_000_000, 1],
  ] as const) {
    const clients = new Clients(new Board(1).clients, 0, 0)
    const pace = paceOf(rate, burst)
    const start = 1_000_000_000 // ms: a machine that is up for eleven days
    const entry = clients.open('192.0.2.1', 0, start)
    for (let i = 0; i < burst; i++) t.equal(clients.take(entry, pace, start), 0, `${rate}/s: ${i + 1} of ${burst}`)
    const wait = clients.take(entry, pace, start)
    t.ok(Math.abs(wait - 1000 / rate) <= 0.001 / rate + 0.0001, `${rate}/s: ${wait} ms`)
    t.ok(clients.take(entry, pace, start + wait - 0.001) > 0, 'too early')
    t.equal(clients.take(entry, pace, start + wait + 0.0001), 0, 'in time')
    t.ok(clients.take(entry, pace, start + wait + 0.0001) > 0, 'one, not two')
    const later = start + wait + (burst * 1000) / rate + 1
    for (let i = 0; i < burst; i++) t.equal(clients.take(entry, pace, later), 0, 'full again')
    t.ok(clients.take(entry, pace, later) > 0)
  }
  t.end()
})

t.test('however requests come, no span of time has more than burst and rate allow', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 300 }),
      (rate, burst, gaps) => {
        const clients = new Clients(new Board(1).clients, 0, 0)
        const pace = paceOf(rate, burst)
        const entry = clients.open('192.0.2.1', 0, 0)
        const grants: number[] = []
        let now = 5000
        for (const gap of gaps) {
          now += gap / 10
          if (clients.take(entry, pace, now) === 0) grants.push(now)
        }
        for (const [i, first] of grants.entries())
          for (const [j, last] of grants.entries())
            if (j >= i && j - i + 1 > burst + ((last - first) * rate) / 1000 + 1e-6) return false
        return true
      },
    ),
    { numRuns: 50 },
  )
  t.end()
})

t.test('what a client asked is not forgotten when its connections have ended', (t) => {
  const clients = new Clients(new Board(1).clients, 0, 0)
  const pace = paceOf(1, 2)
  const first = clients.open('192.0.2.1', 0, 0)
  clients.take(first, pace, 10)
  clients.take(first, pace, 10)
  clients.close(first)
  const again = clients.open('192.0.2.1', 0, 20)
  t.ok(clients.take(again, pace, 20) > 980)
  t.end()
})

t.test('a flood of clients of one bucket is bounded: whoever owes or is there keeps its entry', (t) => {
  const board = new Board(1)
  const clients = new Clients(board.clients, 0, 7)
  const many = crowd(board, CLIENTS.ways + 3)
  const pace = paceOf(1, 1)
  const start = 1000
  const inside = many.slice(0, CLIENTS.ways).map((text) => clients.open(text, 1, start))
  t.equal(new Set(inside).size, CLIENTS.ways)
  const [late = '', later = '', last = ''] = many.slice(CLIENTS.ways)
  t.equal(clients.open(late, 1, start), UNLIMITED, 'no room: it is let through, not limited')
  const [first = 0, second = 0, ...others] = inside
  clients.take(second, pace, start)
  clients.close(second)
  t.equal(clients.open(late, 1, start), UNLIMITED, 'one that owes a request is kept')
  for (const text of many.slice(2, CLIENTS.ways))
    t.equal(clients.open(text, 1, start), REFUSED, 'those inside are limited')
  clients.close(first)
  t.equal(clients.open(late, 1, start), first, 'one that is gone and owes nothing makes room')
  t.equal(clients.open(later, 1, start + 999), UNLIMITED)
  t.equal(clients.open(later, 1, start + 1000.001), second, 'a debt ends')
  t.equal(clients.take(second, pace, start + 1001), 0, 'and is not inherited')
  t.equal(clients.open(last, 1, start + 2000), UNLIMITED)
  for (const entry of others) t.equal(clients.connections(entry), 1)
  t.end()
})

t.test('an entry that is used between the look at it and its eviction is not evicted', (t) => {
  const board = new Board(2)
  const clients = new Clients(board.clients, 0, 7)
  const [late = '', ...inside] = crowd(board, CLIENTS.ways + 1)
  const entries = inside.map((text) => clients.open(text, 0, 0))
  const used = entries[5] ?? 0
  clients.close(used)
  const { words } = controlsOf(board, used)
  const { load } = Atomics
  t.teardown(() => Object.assign(Atomics, { load }))
  const meanwhile = (array: Int32Array & BigInt64Array, index: number): number | bigint => {
    const value = load(array, index)
    // The first look at a time: another thread opens the client, which asks for all that it may, and closes it.
    if (typeof value === 'bigint' && Atomics.load === meanwhile) {
      Object.assign(Atomics, { load })
      Atomics.add(words, used * CLIENTS.words, 1)
      board.clients.take(used, paceOf(1, 1), 0)
      Atomics.add(words, used * CLIENTS.words, (1 << 18) - 1)
    }
    return value
  }
  Object.assign(Atomics, { load: meanwhile })
  t.equal(clients.open(late, 0, 0), UNLIMITED)
  t.equal(Atomics.load, load, 'the other thread was there')
  const again = clients.open(inside[5] ?? '', 0, 0)
  t.equal(again, used)
  t.ok(clients.take(again, paceOf(1, 1), 0) > 0, 'what it asked is not forgotten')
  t.end()
})

interface Share {
  readonly held?: number
  readonly end?: 'return' | 'throw'
}
interface Race {
  readonly board: Board
  readonly addresses: readonly string[]
  readonly most?: number
  readonly rate?: number
  readonly burst?: number
  readonly ms?: number
  readonly shares?: readonly Share[]
}

/** Runs all threads of the board at once; resolves when they have ended. */
async function race({ board, addresses, most = 0, rate = 1000, burst = 10, ms = 400, shares = [] }: Race) {
  const gate = new SharedArrayBuffer(4)
  const holders = new SharedArrayBuffer(4 * addresses.length)
  const reports = await Promise.all(
    Array.from({ length: board.threads }, async (_, thread) => {
      const { held = 0, end = 'return' } = shares[thread] ?? {}
      const { buffer, threads } = board
      const workerData: ClientJob = {
        ...{ board: buffer, threads, thread, gate, addresses, holders, most, rate, burst, ms, held, end },
      }
      const worker = new Worker(ENTRY, { workerData })
      worker.on('error', () => undefined)
      let report: ClientReport | undefined
      worker.on('message', (message: ClientReport) => {
        report = message
      })
      await new Promise((resolve) => worker.once('exit', resolve))
      if (report === undefined) throw new Error(`thread ${thread} ended without a word`)
      return report
    }),
  )
  const elapsed = Math.max(...reports.map((r) => r.until)) - Math.min(...reports.map((r) => r.from))
  const granted = addresses.map((_, i) => reports.reduce((sum, r) => sum + (r.granted[i] ?? 0), 0))
  const sum = (of: 'refused' | 'unlimited'): number => reports.reduce((n, r) => n + r[of], 0)
  return {
    ...{ granted, elapsed, refused: sum('refused'), unlimited: sum('unlimited') },
    most: Math.max(...reports.map((r) => r.most)),
  }
}

t.test('four threads that ask for one client at once get what one would', async (t) => {
  const { granted, elapsed } = await race({ board: new Board(4), addresses: ['192.0.2.1'], rate: 5000, burst: 50 })
  const all = granted[0] ?? 0
  t.ok(all <= 50 + 5 * elapsed + 1, `${all} in ${elapsed} ms are not too many`)
  // No more can be said of a busy machine: what falls due while all four wait for a core is lost beyond the burst.
  t.ok(all > 50, `${all} in ${elapsed} ms are more than the burst`)
})

t.test('four threads at the limit of connections never exceed it', async (t) => {
  const board = new Board(4)
  let met = 0
  for (let races = 0; races < 20 && met === 0; races++) {
    const { most, refused, unlimited } = await race({ board, addresses: ['192.0.2.1', '2001:db8::1'], most: 2 })
    t.ok(most <= 2)
    t.equal(unlimited, 0)
    met += refused // none where the threads had a core one after the other
  }
  t.ok(met > 0, 'the limit was met')
  const entry = new Clients(board.clients, 0, 7).open('192.0.2.1', 0, 0)
  t.equal(board.clients.connections(entry), 1, 'and none is left behind')
})

t.test('a client has one entry, whoever makes it while whoever is evicted', async (t) => {
  const board = new Board(4)
  const addresses = crowd(board, CLIENTS.ways + 8)
  // Nobody owes for long, so that entries go and come all the time, each with one place.
  const run = await race({ board, addresses, most: 1, rate: 1_000_000, burst: 1, ms: 1000 })
  t.equal(run.most, 1, 'no client ever had two connections where one is allowed')
  t.ok(run.granted.every((n) => n > 0))
  const { words, at } = controlsOf(board, new Clients(board.clients, 0, 7).open(addresses[0] ?? '', 0, 1e12))
  const held = at.map((word) => (words[word] ?? 0) & 0xffff)
  t.equal(
    held.reduce((sum, n) => sum + n, 0),
    1,
    'nothing is held but by this test',
  )
})

t.test('evictions give nobody a second burst', async (t) => {
  const board = new Board(4)
  const addresses = crowd(board, CLIENTS.ways * 2)
  const { granted, elapsed, unlimited } = await race({ board, addresses, rate: 100, burst: 3, ms: 1000 })
  for (const [i, n] of granted.entries())
    t.ok(n <= 3 + 0.1 * elapsed + 1, `${addresses[i]}: ${n} in ${Math.round(elapsed)} ms`)
  t.ok(unlimited > 0, 'the bucket was full at times')
})

t.test('what a thread held when it died is taken back, and the others keep theirs', async (t) => {
  const board = new Board(3)
  const shares: Share[] = [{ held: 5 }, { held: 7, end: 'throw' }, { end: 'throw' }]
  await race({ board, addresses: ['192.0.2.1'], ms: 50, shares })
  const clients = new Clients(board.clients, 0, 7)
  const entry = clients.open('192.0.2.1', 0, 1e12)
  t.equal(clients.connections(entry), 13)
  board.reclaim(1)
  t.equal(clients.connections(entry), 6)
  board.reclaim(1)
  board.reclaim(2)
  t.equal(clients.connections(entry), 6, 'doing it again takes nothing more')
  board.reclaim(0)
  t.equal(clients.connections(entry), 0)
  t.equal(clients.open('192.0.2.1', 1, 1e12), entry)
})

t.test('entries that a thread was about to make when it died', (t) => {
  const board = new Board(2)
  const clients = new Clients(board.clients, 0, 7)
  const [text = '', other = ''] = crowd(board, 2)
  const entry = clients.open(text, 1, 0)
  const { words, at } = controlsOf(board, entry)
  const own = entry * CLIENTS.words
  const kept = words[own] ?? 0
  for (const word of at) words[word] = (1 << 16) | 2 // claimed by thread 1
  t.equal(clients.open(other, 1, 0), UNLIMITED, 'they are nobody else’s while the thread may live')
  words[own] = (2 << 16) | 2 // offered by thread 1, under the key of `text`
  for (const word of at.filter((each) => each !== own)) words[word] = 0
  const made = clients.open(text, 1, 0)
  t.ok(made >= 0 && made !== entry, 'an offer of the same client gives way')
  t.equal(clients.open(text, 1, 0), REFUSED, 'and is not a second entry')
  board.reclaim(1)
  t.equal((words[own] ?? 0) & 0x3ffff, 0, 'it is free when the thread is known to be dead')
  t.equal(clients.connections(made), 1)
  words[own] = kept
  t.end()
})
