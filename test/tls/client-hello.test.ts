/** The name in a ClientHello, as real clients write it, in pieces, and as nobody should. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import fc from 'fast-check'
import t from 'tap'
import { HelloReader } from '../../lib/tls/index.ts'

/** What a client sends first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ...options })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return bytes
}

const hello = await helloOf({ servername: 'Shop.Example.test' })

t.test('the name is read, in lower case', async (t) => {
  t.equal(new HelloReader().push(hello), 'shop.example.test')
  t.equal(new HelloReader().push(await helloOf({ servername: 'a.test', maxVersion: 'TLSv1.2' })), 'a.test')
})

t.test('a client that asks for no name has the empty one', async (t) => {
  t.equal(new HelloReader().push(await helloOf({ servername: '' })), '')
})

t.test('byte by byte the name comes with the last one, and no sooner', async (t) => {
  const reader = new HelloReader()
  for (let i = 0; i < hello.length - 1; i++)
    if (reader.push(hello.subarray(i, i + 1)) !== null) t.fail(`decided after ${i + 1} of ${hello.length} bytes`)
  t.equal(reader.push(hello.subarray(-1)), 'shop.example.test')
})

t.test('split over many records it is the same', async (t) => {
  const records: Buffer[] = []
  for (let at = 5; at < hello.length; at += 7) {
    const piece = hello.subarray(at, at + 7)
    records.push(Buffer.from([22, 3, 1, 0, piece.length]), piece)
  }
  t.equal(new HelloReader().push(Buffer.concat(records)), 'shop.example.test')
})

t.test('what is no ClientHello has no name, at once', async (t) => {
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x80\x2e\x01', '\x15\x03\x01\x00\x02\x02\x28'])
    t.equal(new HelloReader().push(Buffer.from(bytes, 'latin1')), '')
  t.equal(
    new HelloReader().push(Buffer.concat([Buffer.from([22, 3, 1, 64, 0]), Buffer.alloc(16_384, 1)])),
    '',
    'too long',
  )
})

t.test('damage anywhere never throws', async () => {
  fc.assert(
    fc.property(fc.nat(hello.length - 1), fc.nat(255), (at, byte) => {
      const damaged = Buffer.from(hello)
      damaged[at] = byte
      const name = new HelloReader().push(damaged)
      return name === null || typeof name === 'string'
    }),
    { numRuns: 2000 },
  )
})

t.test('whether a client offers one protocol and no other is read of real clients', async (t) => {
  for (const [ALPNProtocols, only] of [
    [['acme-tls/1'], true],
    [['acme-tls/1', 'h2'], false],
    [['h2', 'acme-tls/1'], false],
    [['http/1.1'], false],
    [undefined, false],
  ] as const) {
    const reader = new HelloReader()
    const options = {
      servername: 'a.test',
      ...(ALPNProtocols === undefined ? {} : { ALPNProtocols: [...ALPNProtocols] }),
    }
    reader.push(await helloOf(options))
    t.equal(reader.offersOnly('acme-tls/1'), only, `${ALPNProtocols}`)
  }
  t.equal(new HelloReader().offersOnly('acme-tls/1'), false, 'nothing was read')
})
