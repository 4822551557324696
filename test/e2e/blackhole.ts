/** An address that answers no connection attempt: a listener whose queue is full and whose owner never accepts. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import type { Teardown } from '../support/backend.ts'

// The thread listens and then stands still for good, so nothing is ever accepted.
const STUCK_LISTENER = `
const { createServer } = require('node:net')
const { parentPort } = require('node:worker_threads')
const server = createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
})`

const UNANSWERED_MS = 150 // loopback answers in microseconds when it answers at all
const MOST = 16 // the queue holds two

/** `127.0.0.1:port` */
export async function startBlackhole(t: Teardown): Promise<string> {
  const worker = new Worker(STUCK_LISTENER, { eval: true })
  const sockets: Socket[] = []
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await worker.terminate()
  })
  const [port] = (await once(worker, 'message')) as [number]
  for (let answered = true; answered; ) {
    if (sockets.length === MOST) throw new Error('the queue of the blackhole does not fill')
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    sockets.push(socket)
    answered = await Promise.race([
      once(socket, 'connect').then(() => true),
      new Promise<false>((resolve) => setTimeout(resolve, UNANSWERED_MS, false)),
    ])
  }
  return `127.0.0.1:${port}`
}
