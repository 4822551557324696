/** What every affinity promises, run over each type. */
import t from 'tap'
import { type AffinityView, affinities } from '../../lib/affinity/index.ts'
import type { Backend, Flow } from '../../lib/pool/index.ts'
import { flow, type Rig, rigOf } from './fixtures/rig.ts'

interface Row {
  readonly view: Partial<AffinityView>
  /** Two clients, as the affinity knows them. */
  readonly clients: (rig: Rig) => readonly [Flow, Flow]
  /** One of whom it knows nothing; null: it knows something of everybody. */
  readonly stranger: Flow | null
  /** Bindings are made by `bind`; false: by what backends say. */
  readonly binds: boolean
}

const keyed = (): readonly [Flow, Flow] => [flow('192.0.2.1', 'one'), flow('192.0.2.1', 'two')]

const ROWS: Readonly<Record<string, Row>> = {
  'source-ip': {
    view: { type: 'source-ip' },
    clients: () => [flow('192.0.2.1'), flow('2001:db8::1')],
    stranger: flow('not an address'),
    binds: true,
  },
  header: { view: { type: 'header', name: 'X' }, clients: keyed, stranger: flow('192.0.2.1'), binds: true },
  'existing cookie': {
    view: { type: 'cookie', name: 'SID', mode: 'existing' },
    clients: keyed,
    stranger: flow('192.0.2.1'),
    binds: true,
  },
  'rdp-cookie': {
    view: { type: 'rdp-cookie' },
    clients: () => [flow('192.0.2.1', 'mstshash=one'), flow('192.0.2.1', 'mstshash=two')],
    stranger: flow('192.0.2.1'),
    binds: true,
  },
  'header, else source-ip': {
    view: { type: 'header', name: 'X', fallback: 'source-ip' },
    clients: () => [flow('192.0.2.1', 'one'), flow('192.0.2.2', 'two')],
    stranger: null,
    binds: true,
  },
}

const three = ({ backends }: Rig): [Backend, Backend, Backend] => backends as [Backend, Backend, Backend]

t.test('every type has its row in the table', (t) => {
  t.same(Object.keys(affinities).sort(), ['cookie', 'header', 'rdp-cookie', 'source-ip', 'tls-session'])
  t.end()
})

for (const [name, { view, clients, stranger }] of Object.entries(ROWS))
  t.test(name, (t) => {
    t.test('a client is found where it was bound, and others are not', (t) => {
      const rig = rigOf(view)
      const { affinity } = rig.built
      const [a] = three(rig)
      const [one, two] = clients(rig)
      t.equal(affinity.find(one)?.name, undefined)
      t.equal(affinity.bind(one, a, undefined)?.name, a.name)
      t.equal(affinity.find(one)?.name, a.name)
      t.equal(affinity.find(two)?.name, undefined)
      t.end()
    })

    t.test('who binds second is told who was first; a binding is replaced by who knows it', (t) => {
      const rig = rigOf(view)
      const other = rigOf(view, { board: rig.board, clock: rig.clock, thread: 1 })
      const [a, b, c] = three(rig)
      const [a2, b2] = three(other)
      const [one] = clients(rig)
      rig.built.affinity.bind(one, a, undefined)
      t.equal(other.built.affinity.find(one)?.name, a2.name, 'another thread sees it at once')
      t.equal(other.built.affinity.bind(one, b2, undefined)?.name, a2.name)
      t.equal(rig.built.affinity.bind(one, c, b)?.name, a.name, 'b is not what it is bound to')
      t.equal(rig.built.affinity.bind(one, c, a)?.name, c.name)
      t.equal(rig.built.affinity.find(one)?.name, c.name)
      t.end()
    })

    t.test('it ends when it was idle for its timeout', (t) => {
      const rig = rigOf({ ...view, timeout: 5000 })
      const [a, b] = three(rig)
      const [one] = clients(rig)
      rig.built.affinity.bind(one, a, undefined)
      for (let i = 0; i < 5; i++) {
        rig.clock.ms += 4000
        t.equal(rig.built.affinity.find(one)?.name, a.name)
      }
      rig.clock.ms += 5500
      t.equal(rig.built.affinity.find(one)?.name, undefined)
      t.equal(rig.built.affinity.bind(one, b, undefined)?.name, b.name)
      t.end()
    })

    t.test(
      'names count, not places: a binding outlives a change of the list, and that to a backend that is gone is replaced',
      (t) => {
        const rig = rigOf(view)
        const [a, b] = three(rig)
        const [one, two] = clients(rig)
        rig.built.affinity.bind(one, a, undefined)
        rig.built.affinity.bind(two, b, undefined)
        const later = rigOf(view, { board: rig.board, clock: rig.clock, backends: ['d@10.0.0.4:80', 'b@10.0.0.2:80'] })
        const [d, sameB] = later.backends as [Backend, Backend]
        t.equal(later.built.affinity.find(two)?.name, sameB.name)
        t.equal(later.built.affinity.find(one)?.name, undefined)
        t.equal(later.built.affinity.bind(one, d, undefined)?.name, d.name)
        t.equal(later.built.affinity.find(one)?.name, d.name)
        t.end()
      },
    )

    t.test('other services know nothing of it, those of its group do', (t) => {
      const rig = rigOf({ ...view, grouped: true, scope: { name: 'group g/', number: 9000 } })
      const [, b] = three(rig)
      const [one] = clients(rig)
      rig.built.affinity.bind(one, b, undefined)
      const elsewhere = rigOf(
        { ...view, scope: { name: 'pool other/', number: 1 } },
        { board: rig.board, clock: rig.clock },
      )
      t.equal(elsewhere.built.affinity.find(one)?.name, undefined)
      const group = { ...view, grouped: true, scope: { name: 'group g/', number: 9000 } }
      const sibling = rigOf(group, {
        board: rig.board,
        clock: rig.clock,
        backends: ['x@10.0.0.8:443', 'b@10.0.0.9:443'],
      })
      t.equal(sibling.built.affinity.find(one)?.name, sibling.backends[1]?.name)
      t.equal(rig.board.bindings.entriesByScope()[9000] ?? 0, view.fallback === undefined ? 1 : 2)
      t.end()
    })

    t.test(
      'a client of whom nothing is known is not bound',
      { skip: stranger === null && 'it knows everybody' },
      (t) => {
        const rig = rigOf(view)
        const [a] = three(rig)
        if (stranger === null) return t.end()
        t.equal(rig.built.affinity.bind(stranger, a, undefined)?.name, a.name)
        t.equal(rig.built.affinity.find(stranger)?.name, undefined)
        t.end()
      },
    )
    t.end()
  })

t.test('source-ip: clients of one network are one', (t) => {
  const rig = rigOf({ prefix4: 24, prefix6: 56 })
  const [a, b] = three(rig)
  rig.built.affinity.bind(flow('192.0.2.1'), a, undefined)
  rig.built.affinity.bind(flow('2001:db8:0:1100::1'), b, undefined)
  t.equal(rig.built.affinity.find(flow('192.0.2.255'))?.name, a.name)
  t.equal(rig.built.affinity.find(flow('::ffff:192.0.2.7'))?.name, a.name)
  t.equal(rig.built.affinity.find(flow('192.0.3.1'))?.name, undefined)
  t.equal(rig.built.affinity.find(flow('2001:db8:0:11ff::2'))?.name, b.name)
  t.equal(rig.built.affinity.find(flow('2001:db8:0:1200::1'))?.name, undefined)
  t.end()
})

t.test('fallback: a client is known by its address until it has a key, and by its key from then on', (t) => {
  const rig = rigOf({ type: 'header', name: 'X', fallback: 'source-ip' })
  const [a, b] = three(rig)
  const { affinity } = rig.built
  affinity.bind(flow('192.0.2.1'), a, undefined)
  t.equal(affinity.find(flow('192.0.2.1', 'key'))?.name, a.name, 'by its address')
  t.equal(affinity.find(flow('198.51.100.1', 'key'))?.name, a.name, 'by its key, wherever it comes from')
  affinity.bind(flow('198.51.100.1'), b, undefined)
  t.equal(affinity.find(flow('198.51.100.1', 'key'))?.name, a.name, 'the key comes first')
  t.equal(affinity.find(flow('198.51.100.1'))?.name, b.name)
  t.end()
})

t.test('existing cookie: what a backend sets is bound to it, whatever was known of it before', (t) => {
  const rig = rigOf({ type: 'cookie', mode: 'existing', name: 'SID' })
  const [a, b] = three(rig)
  const { affinity, http } = rig.built
  t.equal(http?.keyIn('x=1; SID=s1'), 's1')
  http?.learn('SID=s1; Path=/', a)
  t.equal(affinity.find(flow('192.0.2.1', 's1'))?.name, a.name)
  http?.learn('SID=s1', b)
  t.equal(affinity.find(flow('192.0.2.1', 's1'))?.name, b.name)
  http?.learn('OTHER=s2', b)
  http?.learn('SID=; Max-Age=0', b)
  t.equal(affinity.find(flow('192.0.2.1', 's2'))?.name, undefined)
  t.equal(http?.mark('s1', a), '', 'it sets nothing itself')
  t.end()
})
