/** The active flows of a pool: whom the sum counts, and when. */
import t from 'tap'
import { ActiveSum, BackendCell, Board } from '../../lib/board/index.ts'

for (const n of [1, 3, 4, 5, 10, 33])
  t.test(`${n} backends: the sum is true from the first on, and again after as many looks as there are fours`, (t) => {
    const board = new Board(1)
    const cells = Array.from({ length: n }, (_, i) => new BackendCell(board, 0, i))
    for (const [i, cell] of cells.entries()) for (let flows = 0; flows <= i; flows++) cell.begin()
    const sum = new ActiveSum(cells)
    let flows = (n * (n + 1)) / 2
    t.equal(sum.total, flows)
    for (const [i, cell] of cells.entries()) {
      t.equal(sum.of(i), i + 1)
      cell.end()
      cell.took(5, 1000)
      flows--
    }
    for (let looks = Math.ceil(n / 4); looks > 0; looks--) sum.look()
    t.equal(sum.total, flows)
    for (const cell of cells) cell.begin()
    for (let looks = 0; looks < 100; looks++) sum.look()
    t.equal(sum.total, flows + n)
    t.end()
  })
