/** The admin listener: API, metrics and health of the process itself. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import { createServer, type Logger, messageOf } from '../core/index.ts'
import type { Manager, Reloads } from '../service/index.ts'
import { type Access, operatorOf, refusalOf } from './access.ts'
import { answerError } from './answer.ts'
import { EventHub } from './events.ts'
import { openListener } from './listen.ts'
import { expositionOf } from './metrics.ts'
import { type AdminContext, matchRoute } from './routes.ts'
import { type Succession, UPGRADE_PATH } from './upgrade.ts'

export interface AdminOptions {
  readonly file: string
  readonly version: string
  readonly manager: Manager
  readonly reloads: Reloads
  readonly succession: Succession
  readonly log: Logger
  /** As `admin.listen` says it. */
  readonly listen: string
}

export interface AdminServer {
  /** `127.0.0.1:9600`, or `unix:/run/evenkeel.sock` */
  readonly address: string
  /** Gives up the address; who is connected stays. */
  pause(): void
  /** Listens again. @throws BalancerError LISTEN_FAILED */
  resume(): Promise<void>
  /** Event streams end, requests under way for a while go on. */
  close(): Promise<void>
}

const MAX_CONNECTIONS = 256 // consoles, scrapers and event listeners of one appliance
const MAX_HEAD = 16 * 1024 // what a browser with many cookies for localhost sends
const MAX_BODY = 64 * 1024
const HEAD_MS = 5000
const REQUEST_MS = 10_000
const CHECK_MS = 1000 // how late a timeout may be
const LAST_MS = 500 // for answers under way when it closes
const KEEP_ALIVE_MS = 65_000 // longer than a usual scrape interval
const STALL_MS = 60_000 // a client that reads nothing for so long is cut; an event stream has its heartbeats

/** @throws BalancerError LISTEN_FAILED */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { file, version, manager, reloads, succession, log, listen } = options
  const events = new EventHub(manager)
  const context: AdminContext = {
    manager,
    reloads,
    succession,
    file: resolve(file),
    version,
    exposition: expositionOf(manager, reloads, version),
    events,
  }
  const own = listen.startsWith('unix:')
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD,
      headersTimeout: HEAD_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => {
      const { token } = manager.config.admin
      serve(context, { token, own }, request, response).catch((error: unknown) => {
        if (response.destroyed) return // the client went away
        log.error({ err: error }, `admin ${request.method} failed: ${messageOf(error)}`)
        if (response.headersSent) response.destroy()
        else answerError(response, 500, 'internal', 'the request failed; the log tells why')
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(STALL_MS)
  const address = await openListener(server, listen).catch((error: unknown) => {
    events.close()
    throw error
  })
  return {
    address,
    pause: () => void server.close(),
    resume: async () => void (await openListener(server, address)),
    close: () => close(server, events),
  }
}

async function serve(context: AdminContext, access: Access, request: IncomingMessage, response: ServerResponse) {
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  const { method = '', url = '', headers } = request
  const [path = '', query = ''] = url.split('?', 2)
  const match = matchRoute(method, path)
  const refusal = refusalOf(method, headers, access)
  if (refusal !== null && match.route?.open !== true) {
    const { status, error, message } = refusal
    if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="evenkeel"')
    return refuse(response, status, error, message)
  }
  const most = match.route?.maxBody ?? MAX_BODY
  const body = await bodyOf(request, most)
  if (body === null) return refuse(response, 413, 'too-large', `a body has at most ${most} bytes`)
  if (match.route !== null) {
    const { route, names } = match
    if (route.method !== 'GET' && route.path !== UPGRADE_PATH && context.succession.underWay)
      return answerError(response, 409, 'upgrading', 'an upgrade is under way: ask again when it has ended')
    const by = operatorOf(headers, access.own ? 'unix' : (request.socket.remoteAddress ?? 'gone'))
    const call = { request, response, query: new URLSearchParams(query), names, body, by, trusted: refusal === null }
    return route.handle(context, call)
  }
  if (match.allow.length === 0) return answerError(response, 404, 'not-found', 'there is nothing at this path')
  response.setHeader('Allow', match.allow.join(', '))
  answerError(response, 405, 'method-not-allowed', `this path takes ${match.allow.join(', ')}`)
}

/** Answers without having read the request's body, which ends the connection. */
function refuse(response: ServerResponse, status: number, error: string, message: string): void {
  response.setHeader('Connection', 'close')
  answerError(response, status, error, message)
}

/** Its text; null: it is too large. */
async function bodyOf(request: IncomingMessage, most: number): Promise<string | null> {
  if (Number(request.headers['content-length'] ?? 0) > most) return null
  const pieces: Buffer[] = []
  let length = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    pieces.push(chunk as Buffer)
    length += (chunk as Buffer).length
    if (length > most) return null
  }
  return length === 0 ? '' : Buffer.concat(pieces).toString()
}

/** Event streams end; what is being answered is answered, unless that takes longer. */
async function close(server: Server, events: EventHub): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()))
  events.close()
  server.closeIdleConnections()
  const late = setTimeout(() => server.closeAllConnections(), LAST_MS)
  await closed
  clearTimeout(late)
}
