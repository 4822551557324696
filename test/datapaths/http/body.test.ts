/** Bodies on their way: however they come and however they are framed anew, their content stays what it is. */
import fc from 'fast-check'
import t from 'tap'
import { Body, type BodyKind } from '../../../lib/datapaths/http/body.ts'
import { BodyReader } from '../../support/message.ts'
import { cuts, endsOf, mutated, POISONS } from './fixtures/heads.ts'
import { PaperWire } from './fixtures/wire.ts'

const NO_LIMIT = Number.POSITIVE_INFINITY
const SHARED_BYTES = 256 * 1024

/** One read of the wire that the body comes from: its bytes, and what stands behind them in the buffer. */
class Source {
  readonly wire: PaperWire
  readonly #shared = Buffer.alloc(SHARED_BYTES)
  constructor(owned: boolean) {
    this.wire = new PaperWire(owned)
  }
  /** A wire that is not owned uses the same buffer for each read, so that what was read before is gone. */
  read(bytes: Buffer, poison: string): { buf: Buffer; start: number; end: number } {
    const buf = this.wire.owned ? Buffer.alloc(bytes.length + 100) : this.#shared
    buf.fill(poison, 0, Math.min(buf.length, bytes.length + 100), 'latin1')
    bytes.copy(buf, 7)
    return { buf, start: 7, end: 7 + bytes.length }
  }
}

interface Sent {
  readonly body: Body
  readonly text: string
  /** Bytes of the input that were taken. */
  readonly consumed: number
}

interface Way {
  readonly owned?: boolean
  readonly stuck?: () => boolean
  readonly poison?: string
  readonly prefix?: string
}

/** Sends `bytes` through a body, piece by piece, as an exchange does: the source rests while a write is pending. */
function send(body: Body, bytes: Buffer, ends: readonly number[], way: Way = {}): Sent {
  const source = new Source(way.owned ?? false)
  const to = new PaperWire(false, way.stuck)
  let from = 0
  let prefix = way.prefix ?? ''
  for (const end of ends) {
    const { buf, start, end: stop } = source.read(bytes.subarray(from, end), way.poison ?? 'Z')
    const at = body.relay(buf, start, stop, source.wire, to, prefix)
    prefix = ''
    from += at - start
    if (!source.wire.owned) buf.fill('!')
    if (body.blocked) to.drain()
    if (body.done || body.problem !== '' || body.tooLarge) break
  }
  if (body.kind === 'close' && !body.done) body.ended(to)
  to.drain()
  return { body, text: to.text, consumed: from }
}

/** The content of what was sent, read by a reader of the tests. */
function contentOf(text: string, chunked: boolean): { content: string; trailers: number; rest: number } {
  if (!chunked) return { content: text, trailers: 0, rest: 0 }
  const reader = new BodyReader('chunked', 0)
  const rest = reader.push(Buffer.from(text, 'latin1'))
  if (!reader.done) throw new Error('what was sent does not end')
  return { content: reader.bytes.toString('latin1'), trailers: reader.trailers.length, rest: rest.length }
}

const content = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 15_000, max: 90_000 }).map((n) => 'abcdefg'.repeat(n / 7 + 1).slice(0, n)),
  },
)

/** Cuts a text into chunks of these sizes, the last of them as long as it needs. */
function chunks(text: string, sizes: readonly number[], trailers = ''): string {
  let out = ''
  let at = 0
  for (let i = 0; at < text.length; i++) {
    const part = text.slice(at, i < sizes.length ? at + (sizes[i] ?? 1) : undefined)
    out += `${part.length.toString(16)}\r\n${part}\r\n`
    at += part.length
  }
  return `${out}0\r\n${trailers}\r\n`
}

const way = fc.record({
  owned: fc.boolean(),
  poison: fc.constantFrom(...POISONS),
  prefix: fc.constantFrom('', 'HTTP/1.1 200 OK\r\n\r\n'),
  stuck: fc.constantFrom([false], [true], [true, false], [false, false, true]).map((pattern) => {
    let i = 0
    return () => pattern[i++ % pattern.length] === true
  }),
})
const wideCuts = fc.oneof(cuts, fc.array(fc.nat(95_000), { maxLength: 8 }))
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 40_000 })), {
  maxLength: 10,
})

for (const kind of ['length', 'chunked', 'close'] as const)
  for (const chunkOut of kind === 'length' ? [false] : kind === 'chunked' ? [false, true] : [false, true])
    t.test(
      `a body told by ${kind} goes on ${chunkOut ? 'in chunks' : 'as it is'}: the same content for any pieces`,
      (t) => {
        fc.assert(
          fc.property(content, sizes, wideCuts, way, (content, sizes, at, way) => {
            const rest = kind === 'close' ? '' : 'GET / HTTP/1.1\r\n\r\n'
            const text = kind === 'chunked' ? chunks(content, sizes) : content
            const bytes = Buffer.from(text + rest, 'latin1')
            const body = new Body(kind, kind === 'length' ? content.length : -1, chunkOut, false, NO_LIMIT)
            const none = body.done
            const sent = send(body, bytes, endsOf(at, bytes.length), way)
            const { prefix } = way
            if (!sent.text.startsWith(prefix)) return false
            const found = contentOf(sent.text.slice(prefix.length), chunkOut)
            return (
              found.content === content &&
              found.rest === 0 &&
              body.done &&
              body.problem === '' &&
              body.bytes === content.length &&
              (none || sent.consumed === text.length)
            )
          }),
          { numRuns: 250 },
        )
        t.end()
      },
    )

t.test('two bodies whose writes are pending at the same time never share bytes', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 17_000, max: 60_000 }),
      fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      (size, turns) => {
        const wires = [new PaperWire(false, () => true), new PaperWire(false, () => true)]
        const make = (): Body => new Body('chunked', -1, true, false, NO_LIMIT)
        const bodies = [make(), make()]
        const expected = ['', '']
        const from = new PaperWire()
        for (const turn of turns) {
          const i = turn ? 1 : 0
          const [body, wire] = [bodies[i] as Body, wires[i] as PaperWire]
          if (body.blocked) wire.drain()
          const part = String(i).repeat(size)
          const last = body.bytes >= 2 * size
          const bytes = Buffer.from(last ? chunks(part, []) : `${size.toString(16)}\r\n${part}\r\n`, 'latin1')
          body.relay(bytes, 0, bytes.length, from, wire, '')
          expected[i] += part
          if (!body.done) continue
          if (turn) wire.drain() // one of the two has drained when its next body begins
          bodies[i] = make()
        }
        return wires.every((wire, i) => {
          wire.drain()
          const open = bodies[i]?.bytes === 0
          const reader = wire.text + (open ? '' : '0\r\n\r\n')
          let found = ''
          for (let rest = Buffer.from(reader, 'latin1'); rest.length > 0; ) {
            const one = new BodyReader('chunked', 0)
            rest = Buffer.from(one.push(rest))
            if (!one.done) return false
            found += one.bytes.toString('latin1')
          }
          return found === expected[i]
        })
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('any pieces of a body with bad chunks give the same problem, and nothing behind the fault goes on', (t) => {
  const text = fc
    .tuple(
      content.filter((c) => c.length < 400),
      sizes,
    )
    .map(([content, sizes]) => chunks(content, sizes))
  fc.assert(
    fc.property(mutated(text), cuts, fc.constantFrom(...POISONS), (bytes, at, poison) => {
      const whole = send(new Body('chunked', -1, true, false, NO_LIMIT), bytes, [bytes.length])
      const pieces = send(new Body('chunked', -1, true, false, NO_LIMIT), bytes, endsOf(at, bytes.length), { poison })
      if (whole.body.problem !== pieces.body.problem || whole.body.done !== pieces.body.done) return false
      if (whole.body.problem === '') return whole.body.bytes === pieces.body.bytes
      // A body that is refused never looks whole to who reads what was sent of it.
      return [whole, pieces].every(({ text }) => {
        const reader = new BodyReader('chunked', 0)
        return reader.push(Buffer.from(text, 'latin1')).length === 0 && !reader.done
      })
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('a body that ends before its time is not done, however it was told, but for one that its end tells', (t) => {
  for (const [kind, whole] of [
    ['length', false],
    ['chunked', false],
    ['close', true],
  ] as const) {
    const to = new PaperWire()
    const body = new Body(kind, 100, true, false, NO_LIMIT)
    const bytes = Buffer.from(kind === 'chunked' ? '5\r\nhel' : 'hel')
    body.relay(bytes, 0, bytes.length, new PaperWire(), to, '')
    t.equal(body.ended(to), whole, kind)
    t.equal(body.done, whole, kind)
    t.equal(to.text, whole ? '3\r\nhel\r\n0\r\n\r\n' : '3\r\nhel\r\n')
  }
  t.end()
})

const NOTHING: readonly (readonly [kind: BodyKind, length: number])[] = [
  ['none', -1],
  ['length', 0],
]
for (const [kind, length] of NOTHING)
  t.test(`a body told by ${kind}, without content, is done from the start: only what goes before it is sent`, (t) => {
    const body = new Body(kind, length, false, false, NO_LIMIT)
    t.equal(body.done, true)
    const { text, consumed } = send(body, Buffer.from('of others'), [9], { prefix: 'head' })
    t.equal(text, 'head')
    t.equal(consumed, 0)
    t.end()
  })

t.test('head and a small body go out in one write', (t) => {
  for (const [kind, bytes, sent] of [
    ['length', 'hello', 'headhello'],
    ['chunked', '5\r\nhello\r\n0\r\n\r\n', 'head5\r\nhello\r\n0\r\n\r\n'],
  ] as const) {
    const to = new PaperWire()
    const body = new Body(kind, 5, kind === 'chunked', false, NO_LIMIT)
    body.relay(Buffer.from(bytes), 0, bytes.length, new PaperWire(), to, 'head')
    t.equal(to.text, sent)
    t.equal(to.writes, 1)
  }
  t.end()
})

t.test('all chunks of one read become one', (t) => {
  const to = new PaperWire()
  const bytes = Buffer.from('1\r\na\r\n2;x\r\nbc\r\n003\r\ndef\r\n')
  new Body('chunked', -1, true, false, NO_LIMIT).relay(bytes, 0, bytes.length, new PaperWire(), to, '')
  t.equal(to.text, '6\r\nabcdef\r\n')
  t.end()
})

t.test('trailers go on where the other side takes them, but none that frames, routes or identifies', (t) => {
  const trailers =
    'X-Sum: 1\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\nHost: b\r\nX-Forwarded-For: c\r\nx_forwarded_by: c\r\n' +
    'Set-Cookie: d\r\nAuthorization: e\r\nConnection: close\r\nTrailer: f\r\nX-Request-Id: g\r\nServer-Timing: h\r\n'
  for (const kept of [true, false]) {
    const { text } = send(
      new Body('chunked', -1, true, kept, NO_LIMIT),
      Buffer.from(chunks('x', [], trailers)),
      [9, 999],
    )
    t.equal(text, `1\r\nx\r\n0\r\n${kept ? 'X-Sum: 1\r\nServer-Timing: h\r\n' : ''}\r\n`)
  }
  t.end()
})

t.test('a body in chunks above its limit is too large, and what was too much is not sent', (t) => {
  for (const [size, tooLarge] of [
    [10, false],
    [11, true],
    [70_000, true],
  ] as const) {
    const bytes = Buffer.from(chunks('x'.repeat(size), []))
    const { body, text } = send(new Body('chunked', -1, true, false, 10), bytes, [bytes.length])
    t.equal(body.tooLarge, tooLarge, `${size} bytes`)
    t.equal(text.includes('x'), !tooLarge)
  }
  t.end()
})

t.test('the source reads in bulk while much is to come, and no longer than that', (t) => {
  const from = new PaperWire()
  const body = new Body('length', 1_000_000, false, false, NO_LIMIT)
  const part = Buffer.alloc(60_000)
  body.relay(part, 0, part.length, from, new PaperWire(), '')
  t.equal(from.inBulk, true)
  for (let i = 1; i < 16; i++) body.relay(part, 0, part.length, from, new PaperWire(), '')
  t.equal(from.inBulk, false, 'the last 40 kB are one read')
  const broken = new PaperWire()
  const other = new Body('length', 1_000_000, false, false, NO_LIMIT)
  other.relay(part, 0, part.length, broken, new PaperWire(), '')
  other.release(broken)
  t.equal(broken.inBulk, false, 'nor when the body is given up')
  const small = new PaperWire()
  new Body('length', 100, false, false, NO_LIMIT).relay(part, 0, 100, small, new PaperWire(), '')
  t.equal(small.inBulk, false)
  t.end()
})
