/** The state of a backend for every combination of what is known about it. */
import t from 'tap'
import {
  BACKEND_STATES,
  type BackendState,
  type Facts,
  stateFromNumber,
  stateOf,
  stateToNumber,
  takesNewFlows,
} from '../../lib/pool/index.ts'

const HEALTH: readonly Facts['health'][] = ['unknown', 'passing', 'failing']
const ADMIN: readonly Facts['admin'][] = ['ready', 'drain', 'maintenance']

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
        t.equal(stateOf({ admin, health, busy }), expected)
        t.end()
      })
    }

t.test('new flows go to a backend that is up, and to no other', (t) => {
  t.same(BACKEND_STATES.filter(takesNewFlows), ['up'])
  for (const admin of ADMIN)
    for (const health of HEALTH)
      for (const busy of [true, false])
        t.equal(takesNewFlows(stateOf({ admin, health, busy })), admin === 'ready' && health === 'passing')
  t.end()
})

t.test('a state goes over the board as a number and comes back', (t) => {
  for (const state of BACKEND_STATES) t.equal(stateFromNumber(stateToNumber(state)), state)
  t.equal(new Set(BACKEND_STATES.map(stateToNumber)).size, BACKEND_STATES.length)
  t.equal(stateToNumber('unknown'), 0, 'a row that nobody has written yet is unknown')
  for (const number of [-1, 5, 1e9]) t.equal(stateFromNumber(number), 'unknown')
  t.end()
})
