/** HTTP.md, "Compression": answers reach a client that wants them compressed so, whole, at its pace and at the backend's. */

import { randomBytes } from 'node:crypto'
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { get, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { type RawResponse, roundTrip } from '../support/raw.ts'

const service = (compression: object) => ({ http: { compression }, limits: {} })
const rig = await startRig(t, {
  packed: service({}),
  gzip: service({ algorithms: ['gzip'], minSize: '10B', types: ['text/html', 'application/*+json'] }),
  stream: service({ types: ['text/event-stream'] }),
  few: service({ maxActive: 1 }),
  filtered: {
    ...service({}),
    filters: [
      { removeRequestFields: ['Accept-Encoding'] },
      { setResponseFields: { 'Cache-Control': 'no-transform' }, when: { path: '/account' } },
    ],
  },
  impatient: { ...service({}), timeouts: { body: '500ms' } },
})
const { backend } = rig

const PAGE = 'Content-Type: text/html; charset=utf-8\r\n'
const text = (size: number): string => {
  let out = ''
  for (let i = 0; out.length < size; i++) out += `line ${i} of ${(i * 7919) % 65_521}\n`
  return out.slice(0, size)
}
const DECODERS = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync }
const field = (response: RawResponse, name: string) => valuesOf(response.fields, name).join('|')
const plain = (response: RawResponse): Buffer => {
  const encoding = field(response, 'content-encoding')
  if (encoding === '') return response.body
  return DECODERS[encoding as keyof typeof DECODERS](response.body)
}
const wants = (accept: string, more = '') => `Accept-Encoding: ${accept}\r\n${more}`
const ask = (target: string, accept: string, to = 'packed') => roundTrip(rig.port(to), get(target, wants(accept)))

t.test('a body of every framing and size arrives as it was, in the coding that was asked for', async (t) => {
  for (const size of [1024, 16_384, 65_536, 1_048_576]) {
    const body = text(size)
    const third = Math.floor(size / 3)
    const pieces = [body.slice(0, third), body.slice(third, 2 * third), body.slice(2 * third)]
    const chunks = pieces.map((piece) => `${piece.length.toString(16)};x=y\r\n${piece}\r\n`).join('')
    backend.on(`/length/${size}`, (x) => x.answer(body, `${PAGE}ETag: "v1"\r\nAccept-Ranges: bytes\r\n`))
    backend.on(`/chunked/${size}`, (x) =>
      x.write(`HTTP/1.1 200 OK\r\n${PAGE}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`),
    )
    backend.on(`/close/${size}`, (x) => x.end(`HTTP/1.1 200 OK\r\n${PAGE}\r\n${body}`))
    for (const framing of ['length', 'chunked', 'close'])
      for (const encoding of ['gzip', 'br', 'zstd'] as const) {
        const client = await rig.connect('packed')
        for (const turn of ['first', 'second']) {
          const what = `${framing} ${size} ${encoding} ${turn}`
          client.send(get(`/${framing}/${size}`, wants(encoding)))
          const response = await client.readResponse()
          t.equal(field(response, 'content-encoding'), encoding, what)
          t.equal(response.framing, 'chunked', what)
          t.equal(field(response, 'content-length'), '', what)
          t.equal(field(response, 'vary'), 'Accept-Encoding', what)
          t.ok(response.body.length < size / 2, what)
          t.ok(plain(response).equals(Buffer.from(body)), what)
        }
        client.destroy()
      }
  }
  const tagged = await ask('/length/1024', 'gzip')
  t.equal(field(tagged, 'etag'), 'W/"v1"')
  t.equal(field(tagged, 'accept-ranges'), '')
})

t.test('who does not want it gets the body as it is, and caches are told', async (t) => {
  const body = text(2000)
  backend.on('/plain', (x) => x.answer(body, `${PAGE}Vary: Origin\r\nETag: "v1"\r\n`))
  const requests: readonly [title: string, bytes: string][] = [
    ['no Accept-Encoding', get('/plain')],
    ['identity', get('/plain', wants('identity'))],
    ['refused', get('/plain', wants('gzip;q=0, *;q=0'))],
    ['deflate', get('/plain', wants('deflate'))],
    ['refused in a second field', get('/plain', wants('gzip', wants('gzip;q=0')))],
    ['no-transform', get('/plain', wants('gzip', 'Cache-Control: no-transform\r\n'))],
    ['HTTP/1.0', `GET /plain HTTP/1.0\r\n${wants('gzip')}\r\n`],
  ]
  for (const [title, bytes] of requests) {
    const response = await roundTrip(rig.port('packed'), bytes)
    t.equal(response.body.toString(), body, title)
    t.equal(field(response, 'content-encoding'), '', title)
    t.equal(field(response, 'content-length'), '2000', title)
    t.equal(field(response, 'etag'), '"v1"', title)
    t.equal(field(response, 'vary'), 'Origin, Accept-Encoding', title)
  }
  const off = await ask('/plain', 'gzip', 'main')
  t.equal(field(off, 'vary') + field(off, 'content-encoding'), 'Origin', 'a service without compression')
})

t.test('what must not be touched is not', async (t) => {
  const body = text(2000)
  const rows: readonly [title: string, status: string, fields: string][] = [
    ['encoded', '200 OK', `${PAGE}Content-Encoding: x-mine\r\n`],
    ['no-transform', '200 OK', `${PAGE}Cache-Control: no-transform\r\n`],
    ['part', '206 Partial Content', `${PAGE}Content-Range: bytes 0-1999/4000\r\n`],
    ['image', '200 OK', 'Content-Type: image/png\r\n'],
    ['typeless', '200 OK', ''],
    ['digest', '200 OK', `${PAGE}Content-Digest: sha-256=:x:\r\n`],
    ['redirect', '301 Moved', `${PAGE}Location: /x\r\n`],
    ['events', '200 OK', 'Content-Type: text/event-stream\r\n'],
  ]
  for (const [title, status, fields] of rows) {
    backend.on(`/never/${title}`, (x) => x.answer(body, fields, status))
    const response = await ask(`/never/${title}`, 'gzip, br, zstd')
    t.equal(response.body.toString(), body, title)
    t.equal(field(response, 'vary'), '', title)
    t.equal(field(response, 'content-length'), '2000', title)
  }
  backend.on('/small', (x) => x.answer(text(1023), PAGE))
  t.equal((await ask('/small', 'gzip')).body.length, 1023, 'below minSize')
  backend.on('/204', (x) => x.write(`HTTP/1.1 204 No Content\r\n${PAGE}\r\n`))
  t.strictSame(valuesOf((await ask('/204', 'gzip')).fields, 'content-encoding'), [])
})

t.test('the options say which algorithms, types and sizes', async (t) => {
  backend.on('/ten', (x) => x.answer(text(10), PAGE))
  t.equal(plain(await ask('/ten', 'zstd, br, gzip', 'gzip')).toString(), text(10))
  t.equal(field(await ask('/ten', 'zstd, br, gzip', 'gzip'), 'content-encoding'), 'gzip')
  for (const [type, packed] of [
    ['application/problem+json', true],
    ['application/json', false],
    ['text/plain', false],
    ['TEXT/HTML', true],
  ] as const) {
    backend.on(`/type/${type}`, (x) => x.answer(text(100), `Content-Type: ${type}\r\n`))
    const response = await ask(`/type/${type}`, 'gzip', 'gzip')
    t.equal(field(response, 'content-encoding'), packed ? 'gzip' : '', type)
  }
})

t.test('filters decide too: what backends hear of it, and which paths are left alone', async (t) => {
  for (const path of ['/offload', '/account']) backend.on(path, (x) => x.answer(text(2000), PAGE))
  const response = await ask('/offload', 'gzip', 'filtered')
  t.equal(plain(response).toString(), text(2000))
  t.equal(field(response, 'content-encoding'), 'gzip', 'by what the client sent')
  t.strictSame(valuesOf(backend.last('/offload').fields, 'accept-encoding'), [])
  t.equal((await ask('/account', 'gzip', 'filtered')).body.toString(), text(2000))
})

t.test('an answer to HEAD has the fields that GET would get', async (t) => {
  backend.on('/head', (x) => x.write(`HTTP/1.1 200 OK\r\n${PAGE}ETag: "v1"\r\nContent-Length: 2000\r\n\r\n`))
  const client = await rig.connect('packed')
  client.send(`HEAD /head HTTP/1.1\r\nHost: a.test\r\n${wants('gzip')}\r\n`)
  const response = await client.readResponse({ method: 'HEAD' })
  t.equal(field(response, 'content-encoding'), 'gzip')
  t.equal(field(response, 'etag'), 'W/"v1"')
  t.equal(field(response, 'vary'), 'Accept-Encoding')
  t.equal(field(response, 'content-length') + field(response, 'transfer-encoding'), '')
  client.send(get('/after'))
  t.equal((await client.readResponse()).status, 200, 'and the next answer is in step')
  client.destroy()
})

t.test('a compressed answer can be revalidated', async (t) => {
  backend.on('/tag', (x) => {
    const held = /If-None-Match: (.*)\r\n/.exec(x.request.head)?.[1] ?? ''
    if (/(?:W\/)?"v1"/.test(held)) x.write('HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
    else x.answer(text(2000), `${PAGE}ETag: "v1"\r\n`)
  })
  const client = await rig.connect('packed')
  client.send(get('/tag', wants('gzip')))
  const tag = field(await client.readResponse(), 'etag')
  t.equal(tag, 'W/"v1"')
  client.send(get('/tag', wants('gzip', `If-None-Match: ${tag}\r\n`)))
  const again = await client.readResponse()
  t.equal(again.status, 304)
  t.equal(field(again, 'etag'), 'W/"v1"')
  t.equal(field(again, 'vary'), 'Accept-Encoding')
  client.send(get('/tag', wants('gzip', 'If-None-Match: "v1"\r\n')))
  const other = await client.readResponse()
  t.equal(other.status, 304)
  t.equal(field(other, 'etag'), '"v1"', 'of one that was not compressed')
  client.destroy()
})

t.test('trailers go on, but for digests of what the body was', async (t) => {
  const body = text(2000)
  backend.on('/trailers', (x) =>
    x.write(
      `HTTP/1.1 200 OK\r\n${PAGE}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `7d0\r\n${body}\r\n0\r\nX-Sum: 1\r\nRepr-Digest: sha-256=:x:\r\nSet-Cookie: a=b\r\n\r\n`,
    ),
  )
  const fields = wants('gzip', 'TE: trailers\r\nConnection: TE\r\n')
  const response = await roundTrip(rig.port('packed'), get('/trailers', fields))
  t.equal(plain(response).toString(), body)
  t.strictSame(response.trailers, [['X-Sum', '1']])
})

t.test('what the backend has sent can be read before it sends more', async (t) => {
  const more: (() => void)[] = []
  const parts = ['data: one\n\n', 'data: two\n\n', 'data: three\n\n']
  backend.on('/events', (x) => {
    x.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
    for (const part of parts) more.push(() => x.write(`${part.length.toString(16)}\r\n${part}\r\n`))
    more.push(() => x.write('0\r\n\r\n'))
  })
  const client = await rig.connect('stream')
  client.send(get('/events', wants('gzip')))
  await eventually('the head', () => client.pending.includes('\r\n\r\n'))
  const gunzip = createGunzip()
  let seen = ''
  gunzip.on('data', (bytes: Buffer) => {
    seen += bytes.toString()
  })
  let taken = client.pending.indexOf('\r\n\r\n') + 4
  // Feeds whole chunks of the client's bytes to the decoder.
  const feed = () => {
    for (;;) {
      const line = client.pending.indexOf('\r\n', taken)
      if (line < 0) return
      const size = Number.parseInt(client.pending.toString('latin1', taken, line), 16)
      if (client.pending.length < line + 4 + size || size === 0) return
      gunzip.write(Buffer.from(client.pending.subarray(line + 2, line + 2 + size)))
      taken = line + 4 + size
    }
  }
  for (const [i, part] of parts.entries()) {
    more[i]?.()
    await eventually(part, () => {
      feed()
      return seen.endsWith(part)
    })
  }
  more.at(-1)?.()
  await eventually('the end', () => client.pending.subarray(-5).equals(Buffer.from('0\r\n\r\n')))
  t.equal(seen, parts.join(''))
  client.destroy()
})

t.test('a client that does not read holds the backend back, and gets all of it in the end', async (t) => {
  // Hardly compressible, so that the client's side fills: base64 carries six bits a byte, and repeats lie beyond the window.
  const block = randomBytes(768 * 1024).toString('base64')
  const times = 40
  backend.on('/large', (x) => {
    x.write(`HTTP/1.1 200 OK\r\n${PAGE}Content-Length: ${times * block.length}\r\n\r\n`)
    for (let i = 0; i < times; i++) x.write(block)
  })
  const client = await rig.connect('packed')
  client.socket.pause()
  client.send(get('/large', wants('zstd')))
  await eventually('the request', () => backend.requests.some(({ target }) => target === '/large'))
  const { socket } = backend.last('/large').connection
  let taken = -1
  for (let still = 0; still < 40; still++) {
    for (let i = 0; i < 50; i++) await rig.barrier()
    const now = socket.bytesWritten - socket.writableLength
    if (now !== taken) still = 0
    taken = now
  }
  t.ok(socket.writableLength > 0, 'the backend waits')
  client.socket.resume()
  const response = await client.readResponse({ deadline: 20_000 })
  const whole = plain(response)
  t.equal(whole.length, times * block.length)
  t.ok(whole.subarray(-block.length).equals(Buffer.from(block)))
  client.send(get('/after'))
  t.equal((await client.readResponse()).status, 200, 'and the connection goes on')
  client.destroy()
})

t.test('an answer that the backend breaks off never looks whole', async (t) => {
  const body = text(3000)
  const heads = { length: 'Content-Length: 9000\r\n', chunked: 'Transfer-Encoding: chunked\r\n' }
  for (const [framing, line] of Object.entries(heads))
    for (const ending of ['end', 'reset'] as const) {
      const target = `/broken/${framing}/${ending}`
      backend.on(target, async (x) => {
        x.write(`HTTP/1.1 200 OK\r\n${PAGE}${line}\r\n${framing === 'chunked' ? 'bb8\r\n' : ''}${body}`)
        await rig.barrier()
        x[ending]()
      })
      const client = await rig.connect('packed')
      client.send(get(target, wants('gzip')))
      t.equal(await client.untilClosed(), 'reset', `${framing} ${ending}`)
      t.notOk(client.pending.includes('\r\n0\r\n'), 'nor has it a last chunk')
    }
  backend.on('/garbage', (x) =>
    x.write(`HTTP/1.1 200 OK\r\n${PAGE}Transfer-Encoding: chunked\r\n\r\nbb8\r\n${body}\r\nno chunk\r\n`),
  )
  const client = await rig.connect('packed')
  client.send(get('/garbage', wants('gzip')))
  t.equal(await client.untilClosed(), 'reset', 'framing that is wrong')
})

t.test('a backend that falls silent is not waited for', async (t) => {
  backend.on('/silent', (x) => x.write(`HTTP/1.1 200 OK\r\n${PAGE}Content-Length: 9000\r\n\r\n${text(3000)}`))
  const client = await rig.connect('impatient')
  client.send(get('/silent', wants('gzip')))
  t.equal(await client.untilClosed(), 'reset')
})

t.test('one more than may be compressed at once goes on as it is; one that ended, however, makes room', async (t) => {
  const body = text(4000)
  const fields = `${PAGE}Content-Length: 8000\r\n`
  backend.on('/hold', (x) => x.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${body}`))
  backend.on('/page', (x) => x.answer(body, PAGE))
  for (const how of ['reset', 'end'] as const) {
    const holder = await rig.connect('few')
    holder.send(get('/hold', wants('gzip')))
    await eventually('the head', () => holder.pending.includes('Content-Encoding: gzip'))
    const other = await ask('/page', 'gzip', 'few')
    t.equal(other.body.toString(), body)
    t.equal(field(other, 'vary'), 'Accept-Encoding')
    holder[how]() // the client goes: its compressor goes with it
    await eventually(`room after a client's ${how}`, async () => {
      const next = await ask('/page', 'gzip', 'few')
      return field(next, 'content-encoding') === 'gzip'
    })
    holder.destroy()
  }
  t.pass()
})

t.test('requests in one read are answered in order', async (t) => {
  for (const i of [1, 2, 3]) backend.on(`/p/${i}`, (x) => x.answer(`${i}${text(3000)}`, PAGE))
  const client = await rig.connect('packed')
  client.send([1, 2, 3].map((i) => get(`/p/${i}`, wants('br'))).join(''))
  for (const i of [1, 2, 3]) t.equal(plain(await client.readResponse()).toString()[0], String(i))
  client.destroy()
})

t.test('a backend connection is used again after a compressed answer, and never with bytes behind it', async (t) => {
  const before = backend.connections.length
  for (let i = 0; i < 5; i++) t.equal((await ask('/page', 'zstd')).status, 200)
  t.ok(backend.connections.length <= before + 1, 'one connection for all')
  backend.onHeadOf('/extra', (x) =>
    x.write(`HTTP/1.1 200 OK\r\n${PAGE}Content-Length: 2000\r\n\r\n${text(2000)}HTTP/1.1 200 OK\r\n\r\n`),
  )
  t.equal(plain(await ask('/extra', 'zstd')).toString(), text(2000))
  const spoilt = backend.heads.findLast(({ target }) => target === '/extra')?.connection
  t.equal((await ask('/page', 'zstd')).status, 200)
  t.not(backend.last('/page').connection, spoilt, 'not the one with bytes behind its answer')
})

t.test('the log and the metrics tell what went over the wire', async (t) => {
  const body = text(100_000)
  backend.on('/counted', (x) => x.answer(body, PAGE))
  const client = await rig.connect('packed')
  const before = await compressionBytes()
  client.send(get('/counted', wants('gzip')))
  const response = await client.readResponse()
  await eventually('the counters', async () => (await compressionBytes()).out > before.out)
  const after = await compressionBytes()
  t.equal(after.in - before.in, body.length)
  t.equal(after.out - before.out, response.body.length)
  const line = await eventually('the line', async () =>
    (await rig.balancer.accessLog()).findLast((each) => each['target'] === '/counted'),
  )
  t.equal(line['bytesOut'], client.socket.bytesRead)
  client.destroy()
})

async function compressionBytes(): Promise<{ in: number; out: number }> {
  const metrics = await (await fetch(`http://${rig.balancer.admin}/metrics`)).text()
  const of = (direction: string) =>
    Number(new RegExp(`compression_bytes_total{service="packed",direction="${direction}"} (\\d+)`).exec(metrics)?.[1])
  return { in: of('in'), out: of('out') }
}

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
