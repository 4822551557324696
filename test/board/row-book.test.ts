/** Rows of the board go to another key only when nothing of the one before can still move on them. */
import t from 'tap'
import { BackendCell, Board, RowBook } from '../../lib/board/index.ts'

const none = (): Int32Array => new Int32Array(16_384)
const backend = (key: string) => ({ kind: 'backend', key }) as const

t.test('a row is given to another key ten seconds after its last flow, and begins anew', (t) => {
  const board = new Board(1)
  const book = new RowBook()
  const row = book.row('backend', 'shop/a')
  const cell = new BackendCell(board, 0, row)
  cell.begin()
  cell.request(200)
  book.retire(backend('shop/a'))
  for (const now of [0, 20_000, 40_000]) book.tick(board, now, none)
  t.not(book.row('backend', 'shop/b'), row, 'a flow is under way')
  cell.end()
  book.tick(board, 50_000, none)
  book.tick(board, 59_000, none)
  t.not(book.row('backend', 'shop/c'), row, 'it ended a moment ago')
  book.tick(board, 60_000, none)
  t.equal(book.row('backend', 'shop/d'), row)
  t.equal(board.sum('backend', row, 2), 0)
  t.equal(board.failures(row), 0)
  t.end()
})

t.test('what is needed again meanwhile keeps its row and what is counted there', (t) => {
  const board = new Board(1)
  const book = new RowBook()
  const row = book.row('backend', 'shop/a')
  new BackendCell(board, 0, row).connectFailure()
  book.retire(backend('shop/a'))
  book.tick(board, 0, none)
  t.equal(book.row('backend', 'shop/a'), row)
  book.keep(backend('shop/a'))
  book.tick(board, 60_000, none)
  t.not(book.row('backend', 'shop/b'), row)
  t.end()
})

t.test('the row of a pool waits for the clients that are bound there', (t) => {
  const board = new Board(1)
  const book = new RowBook()
  const row = book.row('pool', 'shop ')
  book.retire({ kind: 'pool', key: 'shop ' })
  const bound = none()
  bound[row] = 3
  for (const now of [0, 10_000, 20_000]) book.tick(board, now, () => bound)
  t.not(book.row('pool', 'other '), row)
  book.tick(board, 40_000, none)
  t.equal(book.row('pool', 'third '), row)
  t.end()
})

t.test('rows of a change that did not come about are free at once', (t) => {
  const book = new RowBook()
  const kept = book.row('service', 'shop')
  book.settle()
  const row = book.row('service', 'other')
  book.row('service', 'shop')
  book.undo()
  t.equal(book.row('service', 'third'), row)
  t.equal(book.row('service', 'shop'), kept)
  t.end()
})
