/**
 * A backend as a process of its own: answers by the id in the path, writes down each execution before it answers, echoes
 * WebSocket messages and TCP streams, and misbehaves when told to. `backend-process.ts NAME HOST HTTP-PORT TCP-PORT JOURNAL`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { WebSocketServer } from 'ws'
import { contentOf, differenceOf } from './content.ts'
import { Journal } from './journal.ts'
import { MISBEHAVIOURS, type MisbehaviourName } from './misbehaviour.ts'

const [name = '', host, httpPort, tcpPort, path = ''] = process.argv.slice(2)
const journal = new Journal(path)
const PATH = /^\/r\/([a-z]\d+)\/(\d+)$/
const CHUNKED_EVERY = 3 // bytes of an answer in all that are not framed by their length

let misbehaviour: MisbehaviourName | null = null
let turn = 0

function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/healthz') return void response.end('ok')
  const [, id = '', size = '0'] = PATH.exec(request.url ?? '') ?? []
  const pieces: Buffer[] = []
  request.on('error', () => undefined) // its client went away in mid-body: it is not executed
  request.on('data', (bytes: Buffer) => pieces.push(bytes))
  request.on('end', () => execute(request, response, id, Number(size), Buffer.concat(pieces)))
}

function execute(request: IncomingMessage, response: ServerResponse, id: string, size: number, got: Buffer): void {
  const expected = request.method === 'POST' ? contentOf(`${id}p`, Number(request.headers['x-size'])) : Buffer.alloc(0)
  journal.write('executed', id, name, expected.equals(got) ? 'right' : differenceOf(expected, got))
  const body = contentOf(id, size)
  turn++
  if (misbehaviour !== null && turn % 2 === 0) return MISBEHAVIOURS[misbehaviour](request.socket, body)
  response.setHeader('x-backend', name)
  if (turn % CHUNKED_EVERY !== 0) response.setHeader('content-length', size)
  if (request.method === 'HEAD') return void response.end()
  if (size > 1) response.write(body.subarray(0, size >> 1))
  response.end(body.subarray(size > 1 ? size >> 1 : 0))
}

const sockets = new WebSocketServer({ noServer: true })
const web = createServer({ keepAliveTimeout: 0 }, serve)
web.on('upgrade', (request, socket, head) => {
  socket.on('error', () => undefined)
  sockets.handleUpgrade(request, socket, head, (peer) => {
    peer.on('error', () => undefined)
    peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }))
  })
})
const tcp = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on('error', () => undefined)
  socket.pipe(socket)
})

process.on('message', (told: { misbehaviour: MisbehaviourName | null }) => {
  misbehaviour = told.misbehaviour
})
process.on('disconnect', () => process.exit(0))
web.listen(Number(httpPort), host, () => tcp.listen(Number(tcpPort), host, () => process.send?.('listening')))
