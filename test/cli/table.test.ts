/** Tables and durations: the pure parts of what the command line prints. */
import t from 'tap'
import { ago, compact, precise } from '../../lib/cli/durations.ts'
import { painter } from '../../lib/cli/paint.ts'
import { type Column, renderTable } from '../../lib/cli/table.ts'

const plain = painter(false)
const COLUMNS: readonly Column[] = [
  { title: 'NAME' },
  { title: 'PLACE', optional: true },
  { title: 'WHY', shrinksTo: 4 },
  { title: 'N', align: 'right' },
]
const ROW = [{ text: 'alpha' }, { text: 'here' }, { text: 'because it is so' }, { text: '12' }]

t.test('columns are as wide as their longest cell, numbers stand right', (t) => {
  t.same(renderTable(COLUMNS, [ROW, [{ text: 'b' }, { text: '' }, { text: 'x' }, { text: '3' }]], 100, plain), [
    'NAME   PLACE  WHY                N',
    'alpha  here   because it is so  12',
    'b             x                  3',
  ])
  t.end()
})

t.test('for a narrow terminal the column that shrinks is cut, then the optional one goes', (t) => {
  t.same(renderTable(COLUMNS, [ROW], 30, plain), ['NAME   PLACE  WHY            N', 'alpha  here   because it …  12'])
  t.same(renderTable(COLUMNS, [ROW], 21, plain), ['NAME   WHY          N', 'alpha  because i…  12'])
  for (let width = 1; width < 40; width++)
    for (const line of renderTable(COLUMNS, [ROW], width, plain))
      t.ok([...line].length <= width, `${line.length} <= ${width}`)
  t.end()
})

t.test('text from elsewhere can not steer the terminal', (t) => {
  const [, line = ''] = renderTable([{ title: 'A' }], [[{ text: 'a\x1b[2Jb\r\n\u202ec' }]], 80, plain)
  t.equal(line, 'a\ufffd[2Jb\ufffd\ufffd\ufffdc')
  t.end()
})

t.test('colour counts for nothing in the width, and is left out when declined', (t) => {
  const cells = [[{ text: 'up', style: 'green' as const }, { text: 'x' }]]
  const columns = [{ title: 'STATE' }, { title: 'B' }]
  t.equal(renderTable(columns, cells, 80, painter(true, ''))[1], '\x1b[32mup\x1b[0m     x')
  t.equal(renderTable(columns, cells, 80, painter(true, '1'))[1], 'up     x')
  t.equal(renderTable(columns, cells, 80, painter(false, ''))[1], 'up     x')
  t.end()
})

t.test('durations read well at every size', (t) => {
  const compacts: [number, string][] = [
    [0, '0s'],
    [59_999, '59s'],
    [192_000, '3m12s'],
    [7_500_000, '2h05m'],
    [3_599_999, '59m59s'],
    [276_000_000, '3d4h'],
  ]
  for (const [ms, text] of compacts) t.equal(compact(ms), text)
  const precises: [number, string][] = [
    [1.24, '1.2 ms'],
    [99.96, '100 ms'],
    [499.9, '500 ms'],
    [800, '0.8 s'],
    [9949, '9.9 s'],
    [12_345, '12 s'],
    [192_000, '3m12s'],
  ]
  for (const [ms, text] of precises) t.equal(precise(ms), text)
  t.equal(ago(-5), '0.0 s ago')
  t.equal(ago(812), '0.8 s ago')
  t.equal(ago(61_000), '1m01s ago')
  t.end()
})
