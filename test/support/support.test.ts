/** The strictness of the tools that the other tests rest on. */
import t from 'tap'
import { startBackend, startTcpBackend } from './backend.ts'
import { startBalancerExpectingFailure } from './balancer.ts'
import { eventually, within } from './eventually.ts'
import { connect, roundTrip } from './raw.ts'

t.test('the backend records requests as they came, and answers with its name and a count', async (t) => {
  const backend = await startBackend(t, 'b1')
  const request =
    'POST /x HTTP/1.1\r\nHOST:  a.test \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'
  const client = await connect(backend.port)
  await client.sendSplit(request, [1])
  t.equal((await client.readResponse()).body.toString(), 'b1 1')
  client.send('GET /y HTTP/1.0\r\n\r\n')
  t.equal((await client.readResponse()).body.toString(), 'b1 2')
  const [first, second] = await backend.waitForRequests(2)
  t.equal(first?.head, request.slice(0, request.indexOf('3\r\n')))
  t.strictSame(first?.fields[0], ['HOST', 'a.test'])
  t.equal(first?.reader.bytes.toString(), 'abc')
  t.strictSame(first?.reader.trailers, [['X-Sum', '1']])
  t.equal(second?.version, 'HTTP/1.0')
  t.equal(first?.connection.text, `${request}GET /y HTTP/1.0\r\n\r\n`)
  client.reset()
  t.equal(await first?.connection.untilClosed(), 'reset')
})

t.test('the backend calls a fault what no balancer may send', async (t) => {
  const faults = [
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\nHost: a\n\n',
    'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n',
    'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n',
  ]
  for (const bytes of faults) {
    const backend = await startBackend(t)
    const client = await connect(backend.port)
    client.send(bytes)
    await client.untilClosed()
    t.equal(backend.faults.length, 1, JSON.stringify(bytes))
    t.equal(backend.requests.length, 0)
  }
})

t.test('a script can answer at the head, in pieces, with a reset, or take the connection over', async (t) => {
  const backend = await startBackend(t)
  backend.onHeadOf('/head', (x) => x.answer('early'))
  backend.on('/reset', (x) => x.reset())
  backend.on('/take', (x) => {
    x.write('HTTP/1.1 101 X\r\n\r\n')
    x.takeOver((bytes) => x.write(bytes))
  })
  const client = await connect(backend.port)
  client.send('POST /head HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n')
  t.equal((await client.readResponse()).body.toString(), 'early')
  t.equal(backend.requests.length, 0)
  await t.rejects(roundTrip(backend.port, 'GET /reset HTTP/1.1\r\nHost: a\r\n\r\n'), /closed \(reset\)/)
  const tunnel = await connect(backend.port)
  tunnel.send('GET /take HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\nearly bytes')
  t.equal((await tunnel.readResponse()).status, 101)
  t.equal((await tunnel.readBytes(11)).toString(), 'early bytes')
})

t.test('the client reads by framing and keeps what is left over', async (t) => {
  const server = await startTcpBackend(t, (connection) => {
    connection.write(
      'HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil',
    )
    connection.socket.end(' the end')
  })
  const client = await connect(server.port)
  const first = await client.readResponse()
  t.strictSame([first.status, first.body.toString(), first.interim[0]?.status], [200, 'ok', 103])
  t.strictSame([(await client.readResponse()).status, (await client.readResponse()).framing], [304, 'chunked'])
  const last = await client.readResponse()
  t.strictSame([last.framing, last.body.toString()], ['close', 'until the end'])
  await t.rejects(client.readResponse(), /closed \(end\)/)
})

t.test('the client accepts nothing that is cut or malformed', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
    'HTTP/1.1 200 OK\nX: y\n\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\n',
    '',
  ]
  for (const answer of answers) {
    const server = await startTcpBackend(t, ({ socket }) => socket.end(answer))
    await t.rejects(roundTrip(server.port, 'x'), Error, JSON.stringify(answer))
  }
})

t.test('every wait has a deadline that says what for', async (t) => {
  const server = await startTcpBackend(t, () => undefined)
  const client = await connect(server.port)
  await t.rejects(client.readResponse({ deadline: 20 }), /head of a response/)
  await t.rejects(client.readUntilClose(20), /end of the connection/)
  await t.rejects(
    eventually('never', () => false, 20),
    /never/,
  )
  await t.rejects(within(new Promise(() => undefined), 'nothing', 20), /nothing/)
})

t.test('a balancer that does not start says why', async (t) => {
  const exit = await startBalancerExpectingFailure(t, 'version: 2\n')
  t.not(exit.code, 0)
  t.ok(exit.stderr.length + exit.stdout.length > 0)
})
