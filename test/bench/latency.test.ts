/** The load generator of constant rate: what it counts, against servers that answer by script. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { problemsOf, runPaced } from '../../bench/load.ts'
import { Processes } from '../../bench/processes.ts'

/** The address of a server that calls `onRequest` with each request, counted from 1. */
async function serve(t: Test, onRequest: (socket: Socket, n: number) => void): Promise<string> {
  let n = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    socket.on('data', () => onRequest(socket, ++n))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return `127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`
}

const answer = (socket: Socket, status = '200 OK') => socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`)

const pace = { path: '/', connections: 4, rate: 200, seconds: 1, warmup: 0.2 }
const processes = new Processes(tmpdir())
t.teardown(() => processes.stopAll())
const run = (address: string) => runPaced(processes, address, pace, AbortSignal.timeout(20_000))

t.test('as many requests are made as the rate says, and each counts once', async (t) => {
  let asked = 0
  const load = await run(
    await serve(t, (socket) => {
      asked++
      answer(socket)
    }),
  )
  t.equal(load.requests, 200, 'without those of the warm-up')
  t.equal(asked, 240)
  t.strictSame(problemsOf(load), [])
})

t.test('a stall weighs on all requests that fell due meanwhile, not only on those that were sent', async (t) => {
  let until = 0
  const load = await run(
    await serve(t, (socket, n) => {
      if (n === 45) until = performance.now() + 700
      setTimeout(() => answer(socket), Math.max(0, until - performance.now()))
    }),
  )
  // 700 ms of 200 requests/s are 140 of the 200, but only the four that were sent waited for an answer
  t.ok(load.p50Ms > 100, `p50 ${load.p50Ms} ms`)
})

t.test('answers with an error status and connections that close before an answer are counted', async (t) => {
  const load = await run(
    await serve(t, (socket, n) => {
      if (n === 100) answer(socket, '503 Service Unavailable')
      else if (n === 120) socket.destroy()
      else answer(socket)
    }),
  )
  t.match(load.errors, { status: 1, read: 1, connect: 0, timeout: 0 })
})
