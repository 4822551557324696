/** HTTP/2 with the clients that people use: node:http2, curl, nghttp; and what must be the same as over HTTP/1.1. */
import { execFile, execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2'
import { connect as tlsConnect } from 'node:tls'
import { promisify } from 'node:util'
import t from 'tap'
import { MIB, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'

const run = promisify(execFile)
const certificate = await makeCertificate()
const backend = await startBackend(t)
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      main: {
        protocol: 'https',
        listen: ['127.0.0.1:0'],
        tls: certificate.tls,
        http: { compression: { types: ['text/plain'] } },
        health: { type: 'none' },
        timeouts: { body: '1s' },
        backends: [backend.address],
      },
      off: {
        protocol: 'https',
        listen: ['127.0.0.1:0'],
        tls: certificate.tls,
        http: { http2: { enabled: false } },
        health: { type: 'none' },
        backends: [backend.address],
      },
    },
  },
  { files: certificate.files },
)
const url = `https://localhost:${balancer.port('main')}`

function open(options: object = {}): ClientHttp2Session {
  const lookup = (_host: string, _options: object, done: (e: null, a: object[]) => void) =>
    done(null, [{ address: '127.0.0.1', family: 4 }])
  const session = connect(url, { ca: certificate.ca, lookup, maxSessionMemory: 1000, ...options } as object)
  session.on('error', () => undefined)
  t.teardown(() => session.destroy())
  return session
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly trailers: IncomingHttpHeaders
  readonly interim: IncomingHttpHeaders[]
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const pieces: Buffer[] = []
  const interim: IncomingHttpHeaders[] = []
  let headers: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders = {}
  stream.on('headers', (fields) => interim.push(fields))
  stream.on('response', (fields) => (headers = fields))
  stream.on('trailers', (fields) => (trailers = fields))
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  await within(
    new Promise<void>((resolve, reject) => {
      stream.on('end', resolve)
      stream.on('error', reject)
    }),
    'an answer',
    20_000,
  )
  return { status: Number(headers[':status']), headers, body: Buffer.concat(pieces), trailers, interim }
}

const ask = (session: ClientHttp2Session, headers: object, body?: Buffer | string): Promise<Answer> => {
  const stream = session.request(headers as never, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return answerOf(stream)
}

t.test('https offers HTTP/2 first, and HTTP/1.1; h2 alone where it is switched off is refused', async (t) => {
  const alpn = (port: number, ...ALPNProtocols: string[]): Promise<unknown> =>
    new Promise((resolve) => {
      const socket = tlsConnect({ port, host: '127.0.0.1', ca: certificate.ca, servername: 'localhost', ALPNProtocols })
      socket.on('secureConnect', () => {
        resolve(socket.alpnProtocol)
        socket.destroy()
      })
      socket.on('error', () => resolve('refused'))
    })
  const [on, off] = [balancer.port('main'), balancer.port('off')]
  t.equal(await alpn(on, 'http/1.1', 'h2'), 'h2')
  t.equal(await alpn(on, 'http/1.1'), 'http/1.1')
  t.equal(await alpn(off, 'h2', 'http/1.1'), 'http/1.1')
  t.equal(await alpn(off, 'h2'), 'refused')
})

t.test('the backend sees an HTTP/1.1 request with what the client asked and who it is', async (t) => {
  const session = open()
  const answer = await ask(session, { ':path': '/seen?a=b', cookie: ['a=1', 'b=2'], 'x-own': 'Value' })
  t.equal(answer.status, 200)
  const { head } = backend.last('/seen?a=b')
  t.match(head, /^GET \/seen\?a=b HTTP\/1\.1\r\n/)
  t.match(head, new RegExp(`\r\nHost: localhost:${balancer.port('main')}\r\n`))
  t.match(head, /\r\nx-own: Value\r\n/)
  t.match(head, /\r\ncookie: a=1; b=2\r\n/)
  t.match(head, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: https\r\n/)
  t.match(head, /\r\nVia: 2\.0 evenkeel\r\n/)
  t.notMatch(head, /transfer-encoding|content-length|connection/i)
  session.close()
})

t.test('the access log tells the version', async (t) => {
  const session = open()
  await ask(session, { ':path': '/logged' })
  session.close()
  const line = await eventually('the line', async () =>
    (await balancer.accessLog()).find((l) => l['target'] === '/logged'),
  )
  t.match(line, { version: '2.0', status: 200, reason: '' })
})

t.test('bodies of every kind come through whole, both ways, many at a time', async (t) => {
  const content = randomBytes(3 * MIB)
  backend.on('/echo', (x) => {
    x.write(`HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: ${x.request.reader.bytes.length}\r\n\r\n`)
    x.write(x.request.reader.bytes)
  })
  backend.on('/chunked', (x) => {
    const { bytes } = x.request.reader
    x.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    for (let at = 0; at < bytes.length; at += 100_000) {
      const piece = bytes.subarray(at, at + 100_000)
      x.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]))
    }
    x.write('0\r\n\r\n')
  })
  backend.on('/close', (x) => x.end(Buffer.concat([Buffer.from('HTTP/1.0 200 OK\r\n\r\n'), x.request.reader.bytes])))
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
  for (const options of [{}, { settings: { initialWindowSize: 1000 } }]) {
    const session = open(options)
    const asked = ['/echo', '/chunked', '/close'].flatMap((path) =>
      [0, 1, 16_384, 16_385, 3 * MIB].flatMap((size) => [
        { path, size, fields: {} },
        { path, size, fields: { 'content-length': size } },
      ]),
    )
    const answers = await Promise.all(
      asked.map(({ path, size, fields }) =>
        ask(session, { ':method': 'POST', ':path': path, ...fields }, content.subarray(0, size)),
      ),
    )
    for (const [i, { path, size, fields }] of asked.entries())
      t.equal(
        hash(answers[i]?.body ?? Buffer.alloc(0)),
        hash(content.subarray(0, size)),
        JSON.stringify({ path, size, ...fields }),
      )
    session.close()
  }
})

t.test('HEAD, 204 and 304 have no body, and 1xx come first', async (t) => {
  backend.on('/head', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'))
  backend.on('/204', (x) => x.write('HTTP/1.1 204 No Content\r\n\r\n'))
  backend.on('/304', (x) => x.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n'))
  backend.on('/hints', (x) =>
    x.write('HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  )
  const session = open()
  t.match(await ask(session, { ':method': 'HEAD', ':path': '/head' }), {
    status: 200,
    headers: { 'content-length': '5' },
    body: Buffer.alloc(0),
  })
  t.match(await ask(session, { ':path': '/204' }), { status: 204, body: Buffer.alloc(0) })
  t.match(await ask(session, { ':path': '/304' }), {
    status: 304,
    headers: { 'content-length': '9' },
    body: Buffer.alloc(0),
  })
  const hinted = await ask(session, { ':path': '/hints' })
  t.match(hinted, { status: 200, interim: [{ ':status': 103, link: '<a>' }] })
  session.close()
})

t.test('trailers go both ways', async (t) => {
  backend.on('/trailers', (x) =>
    x.write(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n',
    ),
  )
  const session = open()
  const stream = session.request({ ':method': 'POST', ':path': '/trailers', te: 'trailers' }, {
    waitForTrailers: true,
  } as never)
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-mine': '1', host: 'evil.test' }))
  stream.end('body')
  const answer = await answerOf(stream)
  t.same(answer.trailers['x-sum'], '7')
  t.notOk('content-length' in answer.trailers)
  const { reader } = backend.last('/trailers')
  t.same(
    reader.trailers.map(([name, value]) => [name.toLowerCase(), value]),
    [['x-mine', '1']],
  )
  session.close()
})

t.test('an expectation is answered before the body comes', async (t) => {
  const session = open()
  const stream = session.request({ ':method': 'POST', ':path': '/expect', expect: '100-continue' })
  const told = new Promise((resolve) => stream.once('continue', resolve))
  await within(told, 'a 100', 5000)
  stream.end('late')
  t.equal((await answerOf(stream)).status, 200)
  t.equal(backend.last('/expect').reader.bytes.toString(), 'late')
  session.close()
})

t.test('an answer that breaks off is a reset, never a whole one; others go on', async (t) => {
  backend.on('/broken', (x) => {
    x.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
    x.reset()
  })
  const session = open()
  const [broken, well] = await Promise.all([
    ask(session, { ':path': '/broken' }).catch((error: Error) => error.message),
    ask(session, { ':path': '/well' }),
  ])
  t.match(broken, /INTERNAL_ERROR/)
  t.equal(well.status, 200)
  session.close()
})

t.test('a client that gives a request up stops it at the backend at once', async (t) => {
  backend.onHeadOf('/endless', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nhalf'))
  const session = open()
  const stream = session.request({ ':path': '/endless' })
  stream.on('error', () => undefined)
  await within(new Promise((resolve) => stream.once('data', resolve)), 'the first bytes')
  stream.close(8)
  const { connection } = await eventually('the request', () => backend.heads.findLast((h) => h.target === '/endless'))
  await connection.untilClosed()
  t.equal((await ask(session, { ':path': '/after' })).status, 200)
  session.close()
})

t.test('an answer before the end of the body ends the stream, not the connection', async (t) => {
  backend.onHeadOf('/early', (x) => x.answer('early', '', '403 Forbidden'))
  const session = open()
  const stream = session.request({ ':method': 'POST', ':path': '/early' })
  stream.write('some')
  const answer = await answerOf(stream)
  t.match(answer, { status: 403 })
  t.equal((await ask(session, { ':path': '/after' })).status, 200)
  session.close()
})

t.test('a client of node:http2 that goes on sending behind its answer is left with no open stream', async (t) => {
  backend.onHeadOf('/fails', (x) => x.answer('failed', '', '502 Bad Gateway'))
  backend.onHeadOf('/breaks', (x) => x.reset())
  const bodies: [name: string, send: (stream: ClientHttp2Stream) => void][] = [
    ['more than the window holds', (stream) => void stream.end(Buffer.alloc(3 * MIB))],
    ['nothing more', (stream) => void stream.write(Buffer.alloc(1000))],
    [
      'a little at a time',
      (stream) => {
        const timer = setInterval(() => stream.writable && stream.write(Buffer.alloc(1000)), 20)
        stream.once('close', () => clearInterval(timer))
      },
    ],
    [
      'as much as is taken',
      (stream) => {
        const pour = (): void => {
          while (stream.writable && stream.write(Buffer.alloc(16 * 1024)));
        }
        stream.on('drain', pour)
        pour()
      },
    ],
  ]
  for (const path of ['/fails', '/breaks']) {
    const session = open()
    const streams = bodies.map(([name, send]) => {
      const stream = session.request({ ':method': 'POST', ':path': path })
      const closed = once(stream, 'close')
      const answer = answerOf(stream)
      send(stream)
      return { name, stream, closed, answer }
    })
    for (const { name, stream, closed, answer } of streams) {
      t.match(await within(answer, 'an answer'), { status: 502 }, `${path}, then ${name}`)
      await within(closed, `the end of the stream of ${name}`)
      t.equal(stream.rstCode, 0, `${path}, then ${name}: no error`)
    }
    t.equal((await ask(session, { ':path': '/after' })).status, 200, 'the connection goes on')
    session.close()
  }
})

t.test('answers are compressed as over HTTP/1.1', async (t) => {
  const text = 'text '.repeat(10_000)
  backend.on('/text', (x) => x.answer(text, 'Content-Type: text/plain\r\n'))
  const session = open()
  const answer = await ask(session, { ':path': '/text', 'accept-encoding': 'gzip' })
  t.equal(answer.headers['content-encoding'], 'gzip')
  t.ok(answer.body.length < 2000)
  session.close()
})

t.test('a host that neither the connection nor its certificate is for gets 421', async (t) => {
  const session = open()
  t.equal((await ask(session, { ':path': '/' })).status, 200)
  t.equal((await ask(session, { ':path': '/', ':authority': 'other.test' })).status, 421)
  t.equal((await ask(session, { ':path': '/', ':authority': '127.0.0.1' })).status, 200)
  session.close()
})

t.test('a WebSocket goes through by an extended CONNECT', async (t) => {
  backend.on('/socket', (x) => {
    const key = x.request.fields.find(([name]) => name.toLowerCase() === 'sec-websocket-key')?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    x.takeOver((bytes) => x.write(bytes))
    x.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
  })
  backend.on('/forged', (x) =>
    x.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: abc\r\n\r\n',
    ),
  )
  backend.on('/page', (x) => x.answer('a page'))
  const session = open()
  await within(new Promise((resolve) => session.once('remoteSettings', resolve)), 'settings')
  const dial = (path: string): ClientHttp2Stream =>
    session.request(
      { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13' } as never,
      { endStream: false },
    )
  const stream = dial('/socket')
  const status = await within(
    new Promise((resolve) => stream.once('response', (h) => resolve(h[':status']))),
    'an answer',
  )
  t.equal(status, 200)
  const content = randomBytes(300_000)
  stream.write(content)
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  await eventually('the echo', () => Buffer.concat(pieces).length === content.length)
  t.ok(Buffer.concat(pieces).equals(content))
  stream.end()
  for (const path of ['/forged', '/page']) {
    const refused = dial(path)
    refused.on('error', () => undefined)
    t.equal(
      await within(new Promise((resolve) => refused.once('response', (h) => resolve(h[':status']))), 'an answer'),
      502,
      path,
    )
    refused.close()
  }
  session.close()
})

t.test('a client that stops reading holds its own stream up, and is timed out', async (t) => {
  backend.on('/large', (x) => x.answer('x'.repeat(8 * MIB)))
  const session = open({ settings: { initialWindowSize: 70_000 } })
  const stream = session.request({ ':path': '/large' })
  const ended = new Promise((resolve) => stream.once('error', (error) => resolve(error.message)))
  await within(new Promise((resolve) => stream.once('response', resolve)), 'an answer')
  stream.pause()
  t.equal((await ask(session, { ':path': '/other' })).status, 200, 'other streams go on')
  t.match(await within(ended, 'the end of the stream', 10_000), /INTERNAL_ERROR|CANCEL/)
  session.close()
})

const installed = (name: string): boolean => {
  try {
    execFileSync('which', [name], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

t.test('curl', { skip: !installed('curl') && 'needs curl' }, async (t) => {
  const port = balancer.port('main')
  const { stdout } = await run('curl', [
    '-sk',
    '--http2',
    '-d',
    'hello',
    '-w',
    ' %{http_version} %{http_code}',
    `https://localhost:${port}/curl`,
    '--resolve',
    `localhost:${port}:127.0.0.1`,
  ])
  t.match(stdout, / 2 200$/)
  t.equal(backend.last('/curl').reader.bytes.toString(), 'hello')
})

t.test('nghttp and h2load', { skip: !installed('h2load') && 'needs nghttp2-client' }, async (t) => {
  const target = `https://127.0.0.1:${balancer.port('main')}`
  const { stdout } = await run('nghttp', ['-n', '-s', `${target}/a`, `${target}/b`])
  t.match(stdout, /\/a/)
  const load = await run('h2load', ['-n', '500', '-c', '4', '-m', '20', `${target}/load`])
  t.match(load.stdout, /500 succeeded, 0 failed, 0 errored, 0 timeout/)
})
