/** The HTTP server of a demo backend: its routes, each answering from the path and query alone. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DemoServer } from './backends.ts'
import { isWebSocketUpgrade } from './handshake.ts'
import { type Page, renderPage } from './page.ts'
import { echoWebSocket } from './websocket.ts'

interface Backend {
  readonly name: string
  /** Requests answered, those for /healthz aside: probes would blur the count. */
  requests: number
  failing: boolean
}

/** `signal` fires when the client is gone. */
interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly backend: Backend
  readonly path: string
  readonly query: URLSearchParams
  readonly signal: AbortSignal
}

type Route = (call: Call) => void | Promise<void>

const HEAD_BYTES = 64 * 1024 // twice what the balancer accepts, so that it is never the backend that refuses
const KEEP_ALIVE_MS = 30_000 // above the balancer's backendIdle, so that it is never the backend that closes first
const MAX_BYTES = 1024 ** 3
const PIECE = Buffer.alloc(64 * 1024, '0123456789abcdef')

const ROUTES: readonly (readonly [pattern: RegExp, methods: readonly string[] | null, route: Route])[] = [
  [/^\/healthz$/, ['GET', 'HEAD'], healthz],
  [/^\/fail$/, ['POST'], (call) => setFailing(call, true)],
  [/^\/recover$/, ['POST'], (call) => setFailing(call, false)],
  [/^\/slow$/, null, slow],
  [/^\/status\/([^/]*)$/, null, status],
  [/^\/bytes\/([^/]*)$/, ['GET', 'HEAD'], bytes],
  [/^\/echo$/, null, echo],
  [/^\/stream$/, ['GET', 'HEAD'], stream],
]

export function createHttpBackend(name: string): DemoServer {
  const backend: Backend = { name, requests: 0, failing: false }
  const tunnels = new Set<Duplex>()
  const server: Server = createServer(
    {
      maxHeaderSize: HEAD_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
      // Any other upgrade is answered as if it had not been asked for (RFC 9110 §7.8). Older runtimes ignore this option.
      shouldUpgradeCallback: isWebSocketUpgrade,
    },
    (request, response) => void answer(request, response, backend),
  )
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  server.on('upgrade', (request, socket, head) => {
    backend.requests++
    tunnels.add(socket)
    socket.on('close', () => tunnels.delete(socket))
    echoWebSocket(request, socket, head, name)
  })
  return {
    server,
    cut: () => {
      server.closeAllConnections()
      for (const socket of tunnels) socket.destroy()
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, backend: Backend): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  response.on('error', () => gone.abort())
  request.on('error', () => gone.abort())
  response.setHeader('X-Backend', backend.name)
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  const { path, query } = splitTarget(request.url ?? '/')
  if (path !== '/healthz') backend.requests++
  const call: Call = { request, response, backend, path, query, signal: gone.signal }
  try {
    await routeOf(call)(call)
  } catch {
    // Only a client that went away in mid-answer gets here; whatever it was, half an answer must not look whole.
    response.destroy()
  }
  request.resume() // a body that nobody wanted is read off, so that the connection can go on
}

/** By hand: `new URL` throws on targets that clients do send. Absolute-form is accepted. */
function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const local = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '')
  const mark = local.indexOf('?')
  const path = mark === -1 ? local : local.slice(0, mark)
  return { path: path === '' ? '/' : path, query: new URLSearchParams(mark === -1 ? '' : local.slice(mark + 1)) }
}

function routeOf({ path, request }: Call): Route {
  const row = ROUTES.find(([pattern]) => pattern.test(path))
  if (row === undefined) return page
  const [, methods, route] = row
  if (methods === null || methods.includes(request.method ?? '')) return route
  return ({ response }) => {
    response.setHeader('Allow', methods.join(', '))
    say(response, 405, `use ${methods.join(' or ')}`)
  }
}

function say(response: ServerResponse, code: number, line: string): void {
  const text = `${line}\n`
  response.writeHead(code, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

/** A whole number from `min` to `max`, `fallback` when absent; otherwise the client is told and the answer is null. */
function numberOf(
  call: Call,
  what: string,
  text: string | null,
  min: number,
  max: number,
  fallback = min,
): number | null {
  if (text === null) return fallback
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  say(call.response, 400, `${what} is a whole number from ${min} to ${max}`)
  return null
}

const lastPart = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

function page({ request, response, backend, path }: Call): void {
  const view: Page = {
    backend: backend.name,
    requests: backend.requests,
    method: request.method ?? '',
    path,
    peer: `${request.socket.remoteAddress}:${request.socket.remotePort}`,
    rawHeaders: request.rawHeaders,
  }
  const { type, text } = renderPage(view, request.headers.accept ?? '')
  response.writeHead(200, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), Vary: 'Accept' })
  response.end(text)
}

function healthz({ response, backend }: Call): void {
  if (backend.failing) say(response, 503, 'failing')
  else say(response, 200, 'ok')
}

function setFailing({ response, backend }: Call, failing: boolean): void {
  backend.failing = failing
  say(response, 200, `${backend.name} ${failing ? 'fails its health check from now on' : 'is healthy again'}`)
}

async function slow(call: Call): Promise<void> {
  const ms = numberOf(call, 'ms', call.query.get('ms'), 0, 60_000, 500)
  if (ms === null) return
  await sleep(ms, undefined, { signal: call.signal })
  say(call.response, 200, `${call.backend.name} waited ${ms} ms`)
}

function status(call: Call): void {
  const code = numberOf(call, 'the status', lastPart(call.path), 200, 599)
  if (code === 204 || code === 304) call.response.writeHead(code).end()
  else if (code !== null) say(call.response, code, `status ${code}`)
}

async function bytes(call: Call): Promise<void> {
  const total = numberOf(call, 'the number of bytes', lastPart(call.path), 0, MAX_BYTES)
  if (total === null) return
  call.response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': total })
  if (call.request.method === 'HEAD') call.response.end()
  else await pipeline(() => pieces(total), call.response)
}

function* pieces(total: number): Generator<Buffer> {
  for (let left = total; left > 0; left -= PIECE.length) yield left < PIECE.length ? PIECE.subarray(0, left) : PIECE
}

async function echo({ request, response }: Call): Promise<void> {
  // The type is not echoed: what a page posts must not come back as a page.
  const length = request.headers['content-length']
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    ...(length === undefined ? {} : { 'Content-Length': length }),
  })
  await pipeline(request, response)
}

async function stream(call: Call): Promise<void> {
  const count = numberOf(call, 'count', call.query.get('count'), 0, 1000, 5)
  const ms = count === null ? null : numberOf(call, 'ms', call.query.get('ms'), 0, 10_000, 100)
  if (count === null || ms === null) return
  call.response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' })
  if (call.request.method === 'HEAD') call.response.end()
  else await pipeline(() => ticks(count, ms, call.signal), call.response)
}

async function* ticks(count: number, ms: number, signal: AbortSignal): AsyncGenerator<string> {
  for (let i = 1; i <= count; i++) {
    if (i > 1) await sleep(ms, undefined, { signal })
    yield `tick ${i}\n`
  }
}
