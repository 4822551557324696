/** The table of operators' verbs, and that answers and `query` never disagree. */
import t from 'tap'
import {
  answer,
  type Circumstances,
  CONTROLS,
  decide,
  describe,
  OPERATIONS,
  type Standing,
  VERBS,
  type Verb,
} from '../../lib/service/operations.ts'

const STANDINGS: Readonly<Record<string, Standing>> = {
  started: { operations: 'started', control: 'active' },
  draining: { operations: 'draining', control: 'active' },
  stopped: { operations: 'stopped', control: 'active' },
  suspended: { operations: 'stopped', control: 'suspended' },
}

const DRAINING = 'draining, 12 flows left, cut in 300 s at the latest'

/** For each standing: where the verb leads, and what it answers. */
const TABLE: Readonly<Record<Verb, Readonly<Record<string, readonly [to: string, sentence: string]>>>> = {
  start: {
    started: ['started', 'already started'],
    draining: ['started', 'started again, drain cancelled'],
    stopped: ['started', 'started'],
    suspended: ['suspended', 'refused: control is suspended'],
  },
  drainstop: {
    started: ['draining', DRAINING],
    draining: ['draining', `already ${DRAINING}`],
    stopped: ['stopped', 'already stopped'],
    suspended: ['suspended', 'refused: control is suspended'],
  },
  stop: {
    started: ['stopped', 'stopped, 12 flows cut'],
    draining: ['stopped', 'stopped, drain cut short, 12 flows cut'],
    stopped: ['stopped', 'already stopped'],
    suspended: ['suspended', 'refused: control is suspended'],
  },
  suspend: {
    started: ['suspended', 'stopped, 12 flows cut; control is suspended'],
    draining: ['suspended', 'stopped, drain cut short, 12 flows cut; control is suspended'],
    stopped: ['suspended', 'stopped; control is suspended'],
    suspended: ['suspended', 'already suspended: stopped; control is suspended'],
  },
  resume: {
    started: ['started', 'control is not suspended; started'],
    draining: ['draining', `control is not suspended; ${DRAINING}`],
    stopped: ['stopped', 'control is not suspended; stopped'],
    suspended: ['stopped', 'control is active; operations stay stopped until start'],
  },
}

/** As the one who carries the verb out knows them: flows are cut where something that took some is stopped. */
function circumstances(from: Standing, to: Standing): Circumstances {
  const cuts = from.operations !== 'stopped' && to.operations === 'stopped'
  return { flows: cuts ? 0 : 12, leftMs: 299_400, binds: false, cut: cuts ? 12 : null }
}

for (const verb of VERBS)
  for (const [name, from] of Object.entries(STANDINGS))
    t.test(`${verb} on ${name}: ${TABLE[verb][name]?.[1]}`, (t) => {
      const decision = decide(from, verb)
      const [to = '', sentence] = TABLE[verb][name] ?? []
      t.strictSame(decision.to, STANDINGS[to])
      t.equal(answer(decision, circumstances(from, decision.to)), sentence)
      t.equal(decision.refused, sentence?.startsWith('refused') === true)
      t.equal(decision.exit, decision.refused ? 5 : 0)
      t.equal(decision.changed, to !== name)
      t.end()
    })

t.test('a verb once more changes nothing and is not refused, unless control is suspended', (t) => {
  for (const verb of VERBS)
    for (const from of Object.values(STANDINGS)) {
      const first = decide(from, verb)
      const again = decide(first.to, verb)
      t.strictSame(again.to, first.to)
      t.notOk(again.changed)
      t.equal(again.refused, first.refused)
    }
  t.end()
})

t.test('what query says after a verb stands in the answer of the verb', (t) => {
  for (const verb of VERBS)
    for (const from of Object.values(STANDINGS)) {
      const decision = decide(from, verb)
      if (decision.refused) continue
      const said = answer(decision, circumstances(from, decision.to))
      const query = describe(decision.to, { flows: 12, leftMs: 299_400, binds: false, cut: null })
      for (const part of query.split('; ')) {
        const words = part.split(', ')
        t.ok(
          words.every((word) => said.includes(word)),
          `${verb}: ${JSON.stringify(said)} tells of ${JSON.stringify(query)}`,
        )
      }
    }
  t.end()
})

t.test('control is never suspended while operations go on', (t) => {
  for (const operations of OPERATIONS)
    for (const control of CONTROLS) {
      if (control === 'suspended' && operations !== 'stopped') continue
      for (const verb of VERBS) {
        const { to } = decide({ operations, control }, verb)
        t.ok(to.control === 'active' || to.operations === 'stopped')
      }
    }
  t.end()
})

t.test('one flow is one flow', (t) => {
  t.equal(
    describe({ operations: 'draining', control: 'active' }, { flows: 1, leftMs: 1, binds: false, cut: null }),
    'draining, 1 flow left, cut in 1 s at the latest',
  )
  t.end()
})

t.test('a drain without flows says that it waits for bound clients', (t) => {
  t.equal(
    describe({ operations: 'draining', control: 'active' }, { flows: 0, leftMs: 298_000, binds: true, cut: null }),
    'draining, 0 flows left, bound clients may come back for 298 s',
  )
  t.end()
})
