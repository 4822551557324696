/** What of a state file still holds: under another configuration, after a while, and when it is damaged. */
import t from 'tap'
import { decode, encode, entryOf, probedOf, recall, type SavedBackend, type Snapshot } from '../../lib/service/saved.ts'

const LAST = { verb: 'drainstop', by: 'root@host (unix)', reason: 'new disk', at: 5 } as const
const DRAINING = { operations: 'draining', control: 'active', deadline: 700, last: LAST } as const
const SUSPENDED = {
  operations: 'stopped',
  control: 'suspended',
  deadline: null,
  last: { ...LAST, verb: 'suspend' },
} as const
const CONFIG = entryOf({ admin: 'ready', weight: 1 })
const PROBED = probedOf({ host: '10.0.0.1', port: 80 }, { type: 'http', path: '/' })

const backend: SavedBackend = {
  ...{ config: CONFIG, probed: PROBED, standing: DRAINING, weight: 50 },
  ...{ ejection: { count: 2, until: 999 }, health: 'passing' },
}
const snapshot: Snapshot = {
  at: 1000,
  appliance: SUSPENDED,
  services: { shop: DRAINING },
  backends: { 'shop/b1': backend },
}
const present = (entry: Partial<{ config: string; probed: string }> = {}) => ({
  services: new Set(['shop']),
  backends: new Map([['shop/b1', { config: CONFIG, probed: PROBED, ...entry }]]),
})

t.test('what is written is read again', (t) => {
  t.strictSame(decode(encode(snapshot)), snapshot)
  const recalled = recall(decode(encode(snapshot)), present(), 2000)
  t.strictSame(recalled.appliance, SUSPENDED)
  t.strictSame(recalled.services.get('shop'), DRAINING)
  t.strictSame(recalled.backends.get('shop/b1'), backend)
  t.strictSame(recalled.dropped, [])
  t.end()
})

t.test('a configuration that changed since wins over what an operator did before, and says so', (t) => {
  const config = entryOf({ admin: 'ready', weight: 3 })
  const { backends, dropped } = recall(snapshot, present({ config }), 2000)
  t.strictSame(backends.get('shop/b1'), {
    ...{ config, ejection: backend.ejection, health: 'passing', probed: PROBED },
  })
  t.strictSame(dropped, [
    'backend shop/b1: the configuration says admin ready, weight 3 now, it said admin ready, weight 1',
  ])
  t.end()
})

t.test('what is no longer configured is forgotten; one that no operator touched without a word', (t) => {
  const { services, backends, dropped } = recall(snapshot, { services: new Set(), backends: new Map() }, 2000)
  t.strictSame([services.size, backends.size], [0, 0])
  t.strictSame(dropped, ['service shop is no longer configured', 'backend shop/b1 is no longer configured'])
  const untouched: SavedBackend = { config: CONFIG, probed: PROBED, health: 'passing' }
  t.strictSame(
    recall(
      { ...snapshot, backends: { 'shop/b1': untouched } },
      { services: new Set(['shop']), backends: new Map() },
      2000,
    ).dropped,
    [],
  )
  t.end()
})

t.test('health holds for ten minutes, and only for what was probed', (t) => {
  const healthAt = (now: number, probed = PROBED) =>
    recall(snapshot, present({ probed }), now).backends.get('shop/b1')?.health
  t.equal(healthAt(601_000), 'passing')
  t.equal(healthAt(601_001), undefined, 'too old')
  t.equal(healthAt(999), undefined, 'from the future: the clock was set')
  t.equal(
    healthAt(2000, probedOf({ host: '10.0.0.2', port: 80 }, { type: 'http', path: '/' })),
    undefined,
    'another address',
  )
  t.end()
})

t.test('a file that ends anywhere, or is no state file, is told from a whole one', (t) => {
  const text = encode(snapshot).trimEnd()
  for (let length = 0; length < text.length; length++) t.throws(() => decode(text.slice(0, length)), `${length} bytes`)
  for (const other of [
    '[]',
    'null',
    '7',
    '{}',
    '\0\0\0\0',
    text.replace('"version": 1', '"version": 2'),
    '{"version":1}',
  ])
    t.throws(() => decode(other), other)
  t.end()
})

t.test('a row that makes no sense takes no other with it', (t) => {
  const text = encode(snapshot)
  const value = JSON.parse(text) as { services: Record<string, unknown>; backends: Record<string, unknown> }
  const nonsense = [
    null,
    5,
    [],
    {},
    { operations: 'gone', control: 'active' },
    { operations: 'started', control: 'suspended' },
  ]
  for (const [i, row] of nonsense.entries()) {
    value.services[`n${i}`] = row
    value.backends[`shop/n${i}`] = row
  }
  value.backends['shop/w'] = { config: CONFIG, weight: 1e9, health: 'splendid', ejection: { count: 'x' }, standing: 4 }
  const { services, backends } = decode(JSON.stringify(value))
  t.strictSame(services, snapshot.services)
  t.strictSame(backends, { ...snapshot.backends, 'shop/w': { config: CONFIG } })
  t.end()
})
