/** Chunked bodies with their trailers: what is decoded, and what goes out framed anew. */
import { Body } from '../../lib/datapaths/http/body.ts'
import { ChunkDecoder } from '../../lib/datapaths/http/chunked.ts'
import type { Outbox } from '../../lib/datapaths/outbox.ts'
import { idleSink, type Wire } from '../../lib/datapaths/wire.ts'
import type { Random } from '../random.ts'
import { kept, readChunked } from '../reference/chunked.ts'
import { Arrival, holds, pieceOf, same, type Target } from '../target.ts'

/** A wire that remembers what is written. */
class PaperWire implements Wire {
  sink = idleSink
  text = ''
  readonly owned = false
  readonly pending = false
  readonly borrowing = false
  readonly settled = true
  readonly queued = 0
  readonly remoteAddress = ''
  readonly remotePort = 0
  readonly localAddress = ''
  readonly localPort = 0
  readonly serverName = ''
  readonly clientFields = ''
  readonly protocol = ''
  covers(): boolean {
    return true
  }
  writeText(text: string): boolean {
    this.text += text
    return true
  }
  writeOut(out: Outbox): boolean {
    return this.writeText(out.toString())
  }
  write(bytes: Buffer, start: number, end: number): boolean {
    return this.writeText(bytes.toString('latin1', start, end))
  }
  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    return this.write(bytes, start, end)
  }
  end(): void {}
  pause(): void {}
  resume(): void {}
  bulk(): void {}
  destroy(): void {}
  reset(): void {}
}

interface Outcome {
  readonly state: 'more' | 'bad' | 'done'
  readonly data: string
  readonly trailers: string
  readonly length: number
  readonly problem: string
}

function decode(input: Buffer, random: Random, whole: boolean): Outcome {
  const arrival = new Arrival(input, random)
  const decoder = new ChunkDecoder()
  let data = ''
  let at = arrival.base
  while (!decoder.done && decoder.problem === '' && arrival.more(whole ? input.length : pieceOf(random)))
    while (at < arrival.end && !decoder.done && decoder.problem === '') {
      at = decoder.step(arrival.buf, at, arrival.end)
      data += arrival.buf.toString('latin1', decoder.dataStart, decoder.dataEnd)
    }
  const state = decoder.done ? 'done' : decoder.problem === '' ? 'more' : 'bad'
  return { state, data, trailers: decoder.trailers, length: at - arrival.base, problem: decoder.problem }
}

const NOMINATED = new Set(['x-gone'])

/** What goes out of the same bytes. */
function reframe(input: Buffer, random: Random): { body: Body; text: string } {
  const arrival = new Arrival(input, random)
  const [from, to] = [new PaperWire(), new PaperWire()]
  const body = new Body('chunked', -1, true, true, Number.MAX_SAFE_INTEGER, NOMINATED)
  let at = arrival.base
  while (!body.done && body.problem === '' && arrival.more(pieceOf(random)))
    at = body.relay(arrival.buf, at, arrival.end, from, to, '')
  return { body, text: to.text }
}

export const chunked: Target = {
  name: 'chunked',
  seeds: [
    '5\r\nhello\r\n0\r\n\r\n',
    '5;a=b\r\nhello\r\n00A;x="y z"\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-Gone: 2\r\nContent-Length: 3\r\n\r\nGET / HTTP/1.1\r\n',
    '0000000000000001\r\nx\r\n0\r\nHost: a\r\nX-Forwarded-For: 1\r\nIf-Match: x\r\n:',
    'fffff\r\n',
  ],
  words: [
    ...[
      '0\r\n\r\n',
      '0\r\n',
      '5\r\nhello\r\n',
      '1\r\nx\r\n',
      ';a=b',
      ';',
      '\r\n\r\n',
      '\n',
      '\r\r\n',
      '\r\n ',
      '0x5',
      '+5',
      '-5',
      ' 5',
      '5 ',
      '5_0',
      '5,',
      'g',
    ],
    ...[
      'X: y\r\n',
      'X-Gone: 1\r\n',
      'Transfer_Encoding: x\r\n',
      'Set-Cookie: a\r\n',
      'Trailer',
      'TE: x\r\n',
      'X-Forwarded-',
      '__proto__: x\r\n',
      ': ',
      ' :',
      'constructor:',
    ],
  ],
  check(input, random) {
    const whole = decode(input, random, true)
    const cut = decode(input, random, false)
    const wanted = readChunked(input.toString('latin1'))
    for (const one of [whole, cut]) {
      same(`verdict (${one.problem})`, one.state, wanted.state)
      if (one.state !== 'bad') same('data', one.data, wanted.data)
      if (one.state === 'done') same('trailers', one.trailers, wanted.trailers)
      if (one.state === 'done') same('bytes that it takes', one.length, wanted.length)
    }
    same('in pieces: problem', cut.problem, whole.problem)
    const { body, text } = reframe(input, random)
    same('framed anew: done', body.done, wanted.state === 'done')
    same('framed anew: a problem', body.problem !== '', wanted.state === 'bad')
    const out = readChunked(text)
    holds(out.state !== 'bad', 'malformed chunks go out')
    holds(/^(?:[0-9a-f]+\r\n|$)/.test(text), 'an extension goes out')
    same('all of it goes out', out.state === 'done', wanted.state === 'done')
    holds(wanted.data.startsWith(out.data), 'other data goes out')
    if (wanted.state !== 'done') return `${wanted.state} ${whole.problem}`
    same('data that goes out', out.data, wanted.data)
    same('nothing behind it', out.length, text.length)
    same('trailers that go out', out.trailers, kept(wanted.trailers, NOMINATED))
    return `done ${wanted.trailers !== ''} ${out.trailers !== ''} ${wanted.data !== ''} ${input.includes(';')}`
  },
}
