/** The state of a backend for every combination of what is known about it. */
import t from 'tap'
import { ACCEPTS } from '../../lib/board/index.ts'
import {
  acceptsOf,
  BACKEND_STATES,
  type BackendState,
  type Facts,
  NO_FACTS,
  stateFromNumber,
  stateOf,
  stateToNumber,
} from '../../lib/pool/index.ts'

const HEALTH: readonly Facts['health'][] = ['unknown', 'passing', 'failing']
const ADMIN: readonly Facts['admin'][] = ['ready', 'drain', 'maintenance']

function* allFacts(): Generator<Facts> {
  for (const health of HEALTH)
    for (const admin of ADMIN)
      for (const agent of [...ADMIN, 'down'] as const)
        for (let bits = 0; bits < 16; bits++) {
          const [probeDrain, ejected, drained, busy] = [1, 2, 4, 8].map((bit) => (bits & bit) !== 0) as [
            boolean,
            boolean,
            boolean,
            boolean,
          ]
          yield { health, admin, agent, probeDrain, ejected, drained, busy }
        }
}

/** Admin and health, then the state of a backend that serves flows, and of one that serves none. */
const TABLE: Readonly<Record<string, readonly [busy: BackendState, idle: BackendState]>> = {
  'ready unknown': ['unknown', 'unknown'],
  'ready passing': ['up', 'up'],
  'ready failing': ['draining', 'down'],
  'drain unknown': ['draining', 'draining'],
  'drain passing': ['draining', 'draining'],
  'drain failing': ['draining', 'down'],
  'maintenance unknown': ['draining', 'maintenance'],
  'maintenance passing': ['draining', 'maintenance'],
  'maintenance failing': ['draining', 'maintenance'],
}

for (const admin of ADMIN)
  for (const health of HEALTH)
    for (const busy of [true, false]) {
      const expected = TABLE[`${admin} ${health}`]?.[busy ? 0 : 1]
      t.test(`${admin}, ${health}, ${busy ? 'serving flows' : 'without flows'}: ${expected}`, (t) => {
        t.equal(stateOf({ ...NO_FACTS, admin, health, busy }), expected)
        t.end()
      })
    }

t.test('new flows go to a backend that is up, and to no other', (t) => {
  for (const facts of allFacts())
    t.equal((acceptsOf(facts) & ACCEPTS.new) !== 0, stateOf(facts) === 'up', JSON.stringify(facts))
  t.end()
})

t.test('bound clients are served until the drain ends, but not by a backend that is bad or out', (t) => {
  for (const facts of allFacts()) {
    const { health, ejected, agent, admin, drained, probeDrain } = facts
    const bad = health === 'failing' || ejected || agent === 'down'
    const out = admin === 'maintenance' || agent === 'maintenance'
    const drains = admin === 'drain' || agent === 'drain' || probeDrain
    const served = !bad && !out && (drains ? !drained : health === 'passing')
    t.equal((acceptsOf(facts) & ACCEPTS.bound) !== 0, served, JSON.stringify(facts))
  }
  t.end()
})

t.test('a panic uses what the operator has not taken out, whatever probes and flows say', (t) => {
  for (const facts of allFacts())
    t.equal(
      (acceptsOf(facts) & ACCEPTS.panic) !== 0,
      facts.admin === 'ready' && facts.agent !== 'maintenance',
      JSON.stringify(facts),
    )
  t.end()
})

t.test('an agent and an ejection weigh as much as a probe', (t) => {
  const facts: Facts = { ...NO_FACTS, health: 'passing' }
  t.equal(stateOf({ ...facts, ejected: true }), 'down')
  t.equal(stateOf({ ...facts, ejected: true, busy: true }), 'draining')
  t.equal(stateOf({ ...facts, agent: 'down' }), 'down')
  t.equal(stateOf({ ...facts, agent: 'drain' }), 'draining')
  t.equal(stateOf({ ...facts, agent: 'maintenance' }), 'maintenance')
  t.equal(stateOf({ ...facts, probeDrain: true }), 'draining')
  t.end()
})

t.test('a state goes over the board as a number and comes back', (t) => {
  for (const state of BACKEND_STATES) t.equal(stateFromNumber(stateToNumber(state)), state)
  t.equal(new Set(BACKEND_STATES.map(stateToNumber)).size, BACKEND_STATES.length)
  t.equal(stateToNumber('unknown'), 0, 'a row that nobody has written yet is unknown')
  for (const number of [-1, 5, 1e9]) t.equal(stateFromNumber(number), 'unknown')
  t.end()
})
