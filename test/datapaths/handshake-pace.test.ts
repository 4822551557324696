/** The work of handshakes comes one by one: what is open has its turn between any two. */
import t from 'tap'
import { HandshakePace, type Paced } from '../../lib/datapaths/handshake-pace.ts'

/** Resolves a turn of the event loop later. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

class Client implements Paced {
  ahead: Paced | null = null
  behind: Paced | null = null
  readonly #gone: Client[]
  constructor(gone: Client[]) {
    this.#gone = gone
  }
  go(): void {
    this.#gone.push(this)
  }
}

t.test('of those that come at once one goes in each turn, in their order', async (t) => {
  const pace = new HandshakePace()
  const gone: Client[] = []
  const clients = Array.from({ length: 20 }, () => new Client(gone))
  for (const client of clients) {
    pace.begin()
    pace.enter(client)
  }
  t.equal(gone.length, 1, 'the first at once')
  for (let most = 1; gone.length < 20; most++) {
    t.ok(gone.length <= most + 1, `${gone.length} in turn ${most}`)
    await turn()
  }
  t.same(gone, clients)
})

t.test('who comes later finds a turn of its own, or waits', async (t) => {
  const pace = new HandshakePace()
  const gone: Client[] = []
  pace.enter(new Client(gone))
  await turn()
  await turn()
  pace.enter(new Client(gone))
  t.equal(gone.length, 2, 'at once, as nobody has been before')
  pace.enter(new Client(gone))
  t.equal(gone.length, 2)
  await turn()
  await turn()
  t.equal(gone.length, 3)
})

t.test('who leaves does not go, and holds nobody up', async (t) => {
  const pace = new HandshakePace()
  const gone: Client[] = []
  const [first, second, third] = [new Client(gone), new Client(gone), new Client(gone)]
  for (const client of [first, second, third]) {
    pace.begin()
    pace.enter(client)
  }
  pace.end(second)
  while (gone.length < 2) await turn()
  await turn()
  await turn()
  t.same(gone, [first, third])
})

t.test('few may begin before their clients speak, many may not', async (t) => {
  const pace = new HandshakePace()
  const clients = Array.from({ length: 9 }, () => new Client([]))
  t.ok(pace.calm)
  for (const _ of clients) pace.begin()
  t.notOk(pace.calm)
  for (const client of clients) pace.end(client)
  t.ok(pace.calm)
  pace.enter(new Client([]))
  t.notOk(pace.calm, 'nor in a turn that has had one')
  await turn()
  await turn()
  t.ok(pace.calm)
})
