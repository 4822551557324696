/** The WebSocket echo of a demo backend: what a real client sees, and every rule of RFC 6455 that it enforces. */
import { on, once } from 'node:events'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { encodeFrame, FrameReader } from '../../lib/demo/frames.ts'
import { startDemoBackends } from '../../lib/demo/index.ts'
import { rawClient } from './fixtures/raw.ts'

const demo = await startDemoBackends({ ports: [0] })
t.teardown(() => demo.close())
const port = demo.addresses[0]?.http.port ?? 0

async function open(t: Test): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/any/path`)
  t.teardown(() => client.terminate())
  await once(client, 'open')
  return client
}

t.test('text and binary messages of every length form come back as they were', async (t) => {
  const client = await open(t)
  for (const n of [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024]) {
    for (const binary of [false, true]) {
      client.send(Buffer.alloc(n, 'ok'), { binary })
      const [data, isBinary] = await once(client, 'message')
      t.ok(data.equals(Buffer.alloc(n, 'ok')) && isBinary === binary, `${n} bytes, ${binary ? 'binary' : 'text'}`)
    }
  }
})

t.test('a ping is answered with its payload, between fragments too', async (t) => {
  const client = await open(t)
  client.send('one ', { fin: false })
  client.ping('are you there')
  const [payload] = await once(client, 'pong')
  t.equal(String(payload), 'are you there')
  client.send('two', { fin: true })
  const [data] = await once(client, 'message')
  t.equal(String(data), 'one two')
})

t.test('a close is answered with its code', async (t) => {
  for (const code of [1000, 1001, 1011, 3000, 4999]) {
    const client = await open(t)
    client.close(code, 'bye')
    const [answered] = await once(client, 'close')
    t.equal(answered, code)
  }
})

t.test('many messages sent without reading come back whole', async (t) => {
  const client = await open(t)
  client.pause()
  for (let i = 0; i < 200; i++) client.send(Buffer.alloc(50_000, i))
  client.resume()
  let i = 0
  for await (const [data] of on(client, 'message')) {
    if (!data.equals(Buffer.alloc(50_000, i))) t.fail(`message ${i}`)
    if (++i === 200) break
  }
  t.equal(i, 200)
})

const HANDSHAKE = {
  Host: 'a',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', // RFC 6455 §1.3
}
const headOf = (fields: Record<string, string>, method = 'GET', version = '1.1') =>
  `${method} / HTTP/${version}\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`

const masked = (first: number, payload: Buffer | string, second = 0x80): Buffer => {
  const body = Buffer.from(payload)
  const frame = encodeFrame(first & 0x0f, true, body)
  frame[0] = first
  frame[1] = (frame[1] ?? 0) | second
  const mask = second === 0 ? Buffer.alloc(0) : Buffer.from([1, 2, 3, 4])
  const head = frame.length - body.length
  return Buffer.concat([frame.subarray(0, head), mask, body.map((byte, i) => byte ^ (mask[i & 3] ?? 0))])
}

t.test('the accept value is that of RFC 6455, and bytes sent along with the head are not lost', async (t) => {
  const client = await rawClient(t, port)
  client.socket.write(Buffer.concat([Buffer.from(headOf(HANDSHAKE)), masked(0x81, 'early')]))
  const all = String(await client.until((bytes) => bytes.includes('early')))
  t.match(all, /^HTTP\/1\.1 101 .*\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/s)
  t.ok(all.endsWith('early'))
})

const REFUSED: [what: string, head: string, status: RegExp][] = [
  ['another version', headOf({ ...HANDSHAKE, 'Sec-WebSocket-Version': '8' }), /^HTTP\/1\.1 426 .*Version: 13/s],
  ['no key', headOf({ ...HANDSHAKE, 'Sec-WebSocket-Key': '' }), /^HTTP\/1\.1 400 /],
  ['a short key', headOf({ ...HANDSHAKE, 'Sec-WebSocket-Key': 'AAAA' }), /^HTTP\/1\.1 400 /],
  ['POST', headOf({ ...HANDSHAKE, 'Content-Length': '0' }, 'POST'), /^HTTP\/1\.1 400 /],
]
for (const [what, head, status] of REFUSED) {
  t.test(`a handshake is refused: ${what}`, async (t) => {
    const client = await rawClient(t, port)
    client.socket.write(head)
    t.match(String(await client.ended()), status)
  })
}

const code = (n: number) => Buffer.from([n >> 8, n & 0xff])
const long = (bytes: number[]) => Buffer.from([0x82, 0xff, ...bytes, 1, 2, 3, 4])
const BROKEN: [what: string, closeCode: number, bytes: Buffer[]][] = [
  ['a frame without a mask', 1002, [masked(0x81, 'x', 0)]],
  ['a reserved bit', 1002, [masked(0xc1, 'x')]],
  ['an unknown opcode', 1002, [masked(0x83, 'x')]],
  ['an unknown control opcode', 1002, [masked(0x8b, 'x')]],
  ['a ping in fragments', 1002, [masked(0x09, 'x')]],
  ['a long ping', 1002, [masked(0x89, Buffer.alloc(126))]],
  ['a continuation of nothing', 1002, [masked(0x80, 'x')]],
  ['a message inside another', 1002, [masked(0x01, 'x'), masked(0x81, 'y')]],
  ['a 16-bit length that fits in 7', 1002, [Buffer.from([0x82, 0xfe, 0, 125, 1, 2, 3, 4])]],
  ['a 64-bit length that fits in 16', 1002, [long([0, 0, 0, 0, 0, 0, 0xff, 0xff])]],
  ['a length of 2^63', 1009, [long([0x80, 0, 0, 0, 0, 0, 0, 0])]],
  ['a frame above 1 MiB', 1009, [long([0, 0, 0, 0, 0, 0x10, 0, 1])]],
  ['fragments above 1 MiB', 1009, [masked(0x02, Buffer.alloc(600_000)), masked(0x80, Buffer.alloc(600_000))]],
  ['text that is not UTF-8', 1007, [masked(0x81, Buffer.from([0xff]))]],
  ['text that ends inside a character', 1007, [masked(0x01, Buffer.from([0xc3])), masked(0x80, '')]],
  ['a close with one byte', 1002, [masked(0x88, 'x')]],
  ['a close with code 1005', 1002, [masked(0x88, code(1005))]],
  ['a close with code 999', 1002, [masked(0x88, code(999))]],
  ['a close with code 5000', 1002, [masked(0x88, code(5000))]],
  ['a close with a reason that is not UTF-8', 1007, [masked(0x88, Buffer.from([3, 232, 0xff]))]],
]
for (const [what, closeCode, frames] of BROKEN) {
  t.test(`a broken rule closes with ${closeCode}: ${what}`, async (t) => {
    const client = await rawClient(t, port)
    client.socket.write(Buffer.concat([Buffer.from(headOf(HANDSHAKE)), ...frames]))
    const all = await client.ended()
    t.strictSame(all.subarray(-4), Buffer.concat([Buffer.from([0x88, 2]), code(closeCode)]))
  })
}

t.test('a character split over two fragments is text', async (t) => {
  const client = await rawClient(t, port)
  client.socket.write(headOf(HANDSHAKE))
  client.socket.write(Buffer.concat([masked(0x01, Buffer.from([0xc3])), masked(0x80, Buffer.from([0xa9]))]))
  const echoed = Buffer.from([0x01, 1, 0xc3, 0x80, 1, 0xa9])
  t.ok((await client.until((all) => all.subarray(-6).equals(echoed))).subarray(-6).equals(echoed))
})

t.test('frames are read alike however their bytes are cut', (t) => {
  const frame = fc.record({ opcode: fc.constantFrom(1, 2), payload: fc.uint8Array({ maxLength: 400 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(60), { maxLength: 60 }), (frames, cuts) => {
      const wire = Buffer.concat(frames.map(({ opcode, payload }) => masked(0x80 | opcode, Buffer.from(payload))))
      const reader = new FrameReader(1024)
      const read: { opcode: number; payload: string }[] = []
      let at = 0
      for (const cut of [...cuts, wire.length]) {
        for (const { opcode, payload } of reader.read(wire.subarray(at, at + cut)))
          read.push({ opcode, payload: payload.toString('hex') })
        at += cut
      }
      return (
        JSON.stringify(read) ===
        JSON.stringify(frames.map(({ opcode, payload }) => ({ opcode, payload: Buffer.from(payload).toString('hex') })))
      )
    }),
  )
  t.end()
})

t.test('no bytes crash the reader: it yields frames or says which rule is broken', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        for (const frame of new FrameReader(1024).read(Buffer.from(bytes)))
          if (frame.payload.length > 1024) return false
        return true
      } catch (error) {
        return error instanceof Error && error.name === 'FrameError'
      }
    }),
  )
  t.end()
})

t.test('a client that vanishes does no harm', async (t) => {
  const client = await rawClient(t, port)
  client.socket.write(headOf(HANDSHAKE))
  await client.until((all) => all.includes('\r\n\r\n'))
  client.socket.write(masked(0x82, Buffer.alloc(100_000)).subarray(0, 50_000))
  client.socket.resetAndDestroy()
  const next = await open(t)
  next.send('still here')
  const [data] = await once(next, 'message')
  t.equal(String(data), 'still here')
})
