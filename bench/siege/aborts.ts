/** Clients that go away in the middle of an upload or a download, and a backend that tells when it learned of it. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { quantile } from '../stats.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege, told } from './contract.ts'

const AT_A_TIME = 20
const SEEN_MS = 1000
const GIVE_UP_MS = 10_000
const UPLOAD_BYTES = 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 'x')

/** Clients that have begun, by path: told of their first byte at the backend, and of the end there. */
interface Flow {
  readonly began: PromiseWithResolvers<undefined>
  readonly ended: PromiseWithResolvers<number>
}

const flows = new Map<string, Flow>()

function pour(response: ServerResponse): void {
  while (!response.destroyed && response.write(PIECE));
  response.once('drain', () => pour(response))
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const flow = flows.get(request.url ?? '')
  if (flow === undefined) {
    request.on('error', () => undefined) // a client that was ended in the middle of its body
    return void request.resume().on('end', () => response.end('swallowed'))
  }
  request.on('error', () => undefined)
  request.socket.once('close', () => flow.ended.resolve(performance.now()))
  request.once('data', () => flow.began.resolve(undefined))
  if (request.method === 'POST') request.resume()
  else pour(response)
}

/** The backend that all aborts go to; other bodies it reads to their end. */
export async function startSink(): Promise<{ server: Server; port: number }> {
  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { server, port: address !== null && typeof address === 'object' ? address.port : 0 }
}

/** Ends one client in the middle; answers how long after that the backend's connection ended. */
async function abortOne(address: string, direction: 'upload' | 'download', n: number): Promise<number> {
  const path = `/${direction}/${n}`
  const flow: Flow = { began: Promise.withResolvers(), ended: Promise.withResolvers() }
  flows.set(path, flow)
  const [host = '', port = ''] = address.split(':')
  const socket: Socket = connect({ host, port: Number(port) })
  socket.on('error', () => undefined)
  if (direction === 'upload') {
    socket.write(`POST ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${UPLOAD_BYTES}\r\n\r\n`)
    socket.write(PIECE)
  } else {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    socket.once('data', () => {
      socket.pause()
      flow.began.resolve(undefined)
    })
  }
  const late = delay(GIVE_UP_MS, Number.NaN, { ref: false })
  await Promise.race([flow.began.promise, late])
  const aborted = performance.now()
  if (n % 2 === 0) socket.destroy()
  else socket.resetAndDestroy()
  const ended = await Promise.race([flow.ended.promise, delay(GIVE_UP_MS, Number.NaN, { ref: false })])
  flows.delete(path)
  return ended - aborted
}

async function abortAll(siege: Siege, direction: 'upload' | 'download'): Promise<Finding[]> {
  const { target, aborts, signal } = siege
  const times: number[] = []
  let left = aborts
  const work = async (): Promise<void> => {
    while (left > 0 && !signal.aborted) times.push(await abortOne(target.sink, direction, left--))
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
  signal.throwIfAborted()
  const seen = times.filter((ms) => ms <= SEEN_MS)
  const all = times.map((ms) => (Number.isNaN(ms) ? GIVE_UP_MS : ms))
  const [p50, p99, longest] = [0.5, 0.99, 1].map((p) => `${quantile(all, p).toFixed(1)} ms`)
  return [
    promised(
      `aborted ${direction}s that the backend saw within a second`,
      `${seen.length} of ${aborts}`,
      'all',
      seen.length === aborts,
    ),
    told(`until it saw them, p50 / p99 / longest`, `${p50} / ${p99} / ${longest}`),
  ]
}

export const aborts: Attack = {
  name: 'aborts',
  about: 'clients that go away in the middle of an upload and of a download, every second one with a reset',
  missing: () => undefined,
  run: (siege) =>
    besieged(siege, undefined, async () => [
      ...(await abortAll(siege, 'upload')),
      ...(await abortAll(siege, 'download')),
    ]),
}
