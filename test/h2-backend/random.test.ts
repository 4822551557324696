/** A connection to a backend that sends frames in any order, in any pieces, and damaged: every stream gets its own answer, or ends once. */
import { randomInt } from 'node:crypto'
import t from 'tap'
import { Random } from '../../fuzz/random.ts'
import { DeadlineWheel } from '../../lib/core/index.ts'
import { backendOptions } from '../../lib/datapaths/h2-backend/options.ts'
import { BackendSession, type SessionOwner } from '../../lib/datapaths/h2-backend/session.ts'
import type { BackendStream } from '../../lib/datapaths/h2-backend/stream.ts'
import { ChunkDecoder } from '../../lib/datapaths/http/chunked.ts'
import { PaperWire } from '../datapaths/http/fixtures/wire.ts'
import { block, data, FLAG, frame, headers, TYPE } from '../h2/fixtures/client.ts'

const STREAMS = 5
const RUNS = 1500
const wheel = new DeadlineWheel()
t.teardown(() => wheel.close())

/** Reads a stream as its exchange does. */
class Reader {
  readonly stream: BackendStream
  bytes = Buffer.alloc(0)
  closes: string[] = []
  late = 0

  constructor(stream: BackendStream) {
    this.stream = stream
    stream.sink = {
      onBytes: (bytes, length) => {
        if (this.closes.length > 0) this.late++
        this.bytes = Buffer.concat([this.bytes, bytes.subarray(0, length)])
      },
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: (code) => this.closes.push(code),
    }
    stream.writeText('POST /svc/m HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n')
  }

  /** The content, out of its framing. */
  get content(): string {
    const end = (from: number): number => this.bytes.indexOf('\r\n\r\n', from) + 4
    const start = this.bytes.includes('HTTP/1.1 103') ? end(end(0)) : end(0)
    if (!this.bytes.subarray(0, start).includes('transfer-encoding: chunked'))
      return this.bytes.toString('latin1', start)
    const decoder = new ChunkDecoder()
    let text = ''
    for (let p = start; p < this.bytes.length && !decoder.done; ) {
      p = decoder.step(this.bytes, p, this.bytes.length)
      text += this.bytes.toString('latin1', decoder.dataStart, decoder.dataEnd)
    }
    return decoder.done ? text + decoder.trailers : 'not whole'
  }
}

const owner: SessionOwner = { onOpen: () => undefined, onClosed: () => undefined }

function begin(): { session: BackendSession; readers: Reader[] } {
  const options = backendOptions({ maxStreams: 100, streamWindow: 65_535 })
  const limits = { maxTarget: 8192, maxHead: 32_768, maxFields: 100 }
  const session = new BackendSession(
    new PaperWire(),
    { wheel, limits, options, idleMs: 1000, greetingMs: 1000 },
    false,
    owner,
  )
  const greeting = Buffer.concat([frame(TYPE.settings, 0, 0), frame(TYPE.settings, FLAG.ack, 0)])
  session.onBytes(greeting, greeting.length)
  const readers = Array.from({ length: STREAMS }, () => new Reader(session.open()))
  return { session, readers }
}

const whole = FLAG.endHeaders
/** The answer of a stream, as frames: with a length, with chunks and trailers, or alone. */
function answerOf(id: number, random: Random): Buffer[] {
  const text = `answer ${id} `.repeat(1 + random.below(300))
  const cut = random.below(text.length)
  const pieces = [text.slice(0, cut), text.slice(cut)]
  const kind = random.below(3)
  const fields = [[':status', '200'], ['server', 'x'], ...(kind === 0 ? [['content-length', String(text.length)]] : [])]
  const head = frame(TYPE.headers, whole, id, block(fields as never))
  const interim = random.below(4) === 0 ? [headers(id, [[':status', '103']], whole)] : []
  if (kind === 2)
    return [...interim, head, ...pieces.map((piece) => data(id, piece, 0)), headers(id, [['x-t', String(id)]])]
  return [...interim, head, data(id, pieces[0] as string, 0), data(id, pieces[1] as string)]
}
const expected = (reader: Reader): boolean =>
  new RegExp(`^(?:answer ${reader.stream.id} )+(?:x-t: ${reader.stream.id}\r\n)?$`).test(reader.content)

/** Frames of several streams, each in its own order. */
function interleaved(lists: Buffer[][], random: Random): Buffer[] {
  const out: Buffer[] = []
  const left = lists.map((list) => [...list])
  for (;;) {
    const some = left.filter((list) => list.length > 0)
    const list = some[random.below(some.length)]
    if (list === undefined) return out
    out.push(list.shift() as Buffer)
  }
}

/** In pieces of any size, paused and resumed at any time. */
function feed(session: BackendSession, readers: Reader[], bytes: Buffer, random: Random): void {
  for (let p = 0; p < bytes.length && !session.over; ) {
    const take = Math.min(bytes.length - p, 1 + random.below(random.below(3) === 0 ? 20 : 4000))
    const piece = Buffer.from(bytes.subarray(p, p + take))
    session.onBytes(piece, piece.length)
    piece.fill(0) // nothing of a read may be kept
    p += take
    const reader = readers[random.below(readers.length)] as Reader
    if (random.below(2) === 0) reader.stream.pause()
    else reader.stream.resume()
  }
  for (const reader of readers) reader.stream.resume()
}

const seed = randomInt(2 ** 31)

t.test('answers in any order and in any pieces are each their own', async (t) => {
  const random = new Random(seed)
  for (let run = 0; run < RUNS; run++) {
    const { session, readers } = begin()
    const lists = readers.map(({ stream }) => answerOf(stream.id, random))
    feed(session, readers, Buffer.concat(interleaved(lists, random)), random)
    const wrong = readers.find((reader) => !expected(reader) || reader.closes.length > 0)
    for (const { stream } of readers) stream.destroy()
    if (wrong !== undefined || session.streams.size > 0)
      return t.fail(
        `seed ${seed}, run ${run}: ${wrong?.closes} ${JSON.stringify(wrong?.content.slice(0, 200))}, ${session.streams.size} left`,
      )
    session.retire()
  }
  t.pass(`${RUNS} runs`)
})

t.test('damaged ones end streams and the connection at most once, and nothing throws', async (t) => {
  const random = new Random(seed)
  for (let run = 0; run < RUNS; run++) {
    const { session, readers } = begin()
    const frames = interleaved(
      readers.map(({ stream }) => answerOf(stream.id, random)),
      random,
    )
    for (let i = random.below(4); i >= 0; i--) {
      const at = random.below(frames.length)
      const way = random.below(4)
      const bytes = Buffer.from(frames[at] as Buffer)
      if (way === 0) frames.splice(at, 1)
      else if (way === 1) frames.splice(at, 0, bytes)
      else bytes[random.below(way === 2 ? 9 : bytes.length)] = random.below(256)
      if (way > 1) frames[at] = bytes
    }
    try {
      feed(session, readers, Buffer.concat(frames), random)
      if (random.below(2) === 0) session.onEnd()
      for (const { stream } of readers) stream.destroy()
    } catch (error) {
      return t.fail(`seed ${seed}, run ${run}: ${error instanceof Error ? error.stack : error}`)
    }
    const wrong = readers.find(({ closes, late }) => closes.length > 1 || late > 0)
    if (wrong !== undefined) return t.fail(`seed ${seed}, run ${run}: ${wrong.closes} and ${wrong.late} pieces behind`)
    session.retire()
  }
  t.pass(`${RUNS} runs`)
})
