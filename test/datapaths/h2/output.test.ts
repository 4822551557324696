/** What connections of HTTP/2 have to say lies in memory that goes from one to the next: a flood of them leaves nothing to collect. */
import t from 'tap'
import { Output } from '../../../lib/datapaths/h2/output.ts'
import { idleSink, type Wire } from '../../../lib/datapaths/wire.ts'

const HELLO = Buffer.from('hello')

/** A wire that takes everything at once, or nothing; `written` has what it got and the memory that this lay in. */
function fakeWire(takes: boolean): { wire: Wire; written: { text: string; memory: ArrayBufferLike }[] } {
  const written: { text: string; memory: ArrayBufferLike }[] = []
  const wire: Partial<Wire> = {
    sink: idleSink,
    queued: 0,
    writeOwned(bytes, start, end) {
      written.push({ text: bytes.latin1Slice(start, end), memory: bytes.buffer })
      return takes
    },
  }
  return { wire: wire as Wire, written }
}

function say(output: Output): void {
  HELLO.copy(output.reserve(HELLO.length), output.at)
  output.at += HELLO.length
}

t.test('the last words of connection after connection take no memory of their own', async (t) => {
  const { wire, written } = fakeWire(true)
  for (let n = 0; n < 100; n++) {
    const output = new Output(wire)
    say(output)
    say(output)
    output.finish()
  }
  t.equal(written.length, 100)
  t.ok(written.every(({ text }) => text === 'hellohello'))
  t.equal(new Set(written.map(({ memory }) => memory)).size, 1)
})

t.test('memory whose write is pending is nobody else’s', async (t) => {
  const { wire, written } = fakeWire(false)
  for (let n = 0; n < 5; n++) {
    const output = new Output(wire)
    say(output)
    output.finish()
  }
  t.equal(new Set(written.map(({ memory }) => memory)).size, 5)
})

t.test('a connection that says nothing at its end gives its memory back too', async (t) => {
  const { wire, written } = fakeWire(true)
  const memories = new Set<ArrayBufferLike>()
  for (let n = 0; n < 10; n++) {
    const output = new Output(wire)
    memories.add(output.reserve(HELLO.length).buffer)
    output.finish()
  }
  t.equal(written.length, 0)
  t.equal(memories.size, 1)
})
