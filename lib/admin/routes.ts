/** The table of what the admin listener answers, by method and path. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type BackendTracker,
  type Manager,
  type Reloads,
  type RunningService,
  type Target,
  VERBS,
  type Verb,
} from '../service/index.ts'
import type { Exposition } from '../telemetry/index.ts'
import { answerError, answerJson, answerPieces, answerText, jsonList } from './answer.ts'
import { backendView } from './backend-view.ts'
import type { EventHub } from './events.ts'
import { operate } from './operate.ts'
import { listConfigs, plan, putConfig, reload, rollback, showConfig } from './reload.ts'
import { serviceView, upOf } from './service-view.ts'
import { statusView } from './status-view.ts'
import { type Succession, UPGRADE_PATH, upgrade } from './upgrade.ts'

/** What the routes answer from. */
export interface AdminContext {
  readonly manager: Manager
  readonly reloads: Reloads
  readonly succession: Succession
  readonly file: string
  readonly version: string
  readonly exposition: () => Promise<Exposition>
  readonly events: EventHub
}

/** One request, its path taken apart. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  /** What stands in the path for the `:name` parts, decoded. */
  readonly names: readonly string[]
  /** Of a request that changes something; '': none. */
  readonly body: string
  /** Who asks: `root@host (127.0.0.1)`, or where from. */
  readonly by: string
  /** Whether it passed the checks of access; without, only an open route is called. */
  readonly trusted: boolean
}

type Handler = (context: AdminContext, call: Call) => void | Promise<void>

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  /** Bytes. Default: what a wish takes. */
  readonly maxBody?: number
  /** Answers to anyone. */
  readonly open?: true
  readonly handle: Handler
}

const CONFIG_BYTES = 4 * 1024 * 1024 // as much as a file may have

/** What operators start and stop. */
const TARGETS = ['/api/v1', '/api/v1/services/:service', '/api/v1/services/:service/backends/:backend'] as const

const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/livez', open: true, handle: (_context, { response }) => answerText(response, 200, 'ok\n') },
  { method: 'GET', path: '/readyz', open: true, handle: readyz },
  { method: 'GET', path: '/metrics', handle: metrics },
  { method: 'GET', path: '/api/v1/status', handle: status },
  { method: 'GET', path: '/api/v1/services', handle: services },
  { method: 'GET', path: '/api/v1/services/:service', handle: service },
  { method: 'GET', path: '/api/v1/services/:service/backends/:backend', handle: backend },
  { method: 'GET', path: '/api/v1/events', handle: events },
  { method: 'POST', path: '/api/v1/threads/:thread/restart', handle: restartThread },
  { method: 'POST', path: '/api/v1/reload', handle: reload },
  { method: 'POST', path: '/api/v1/rollback', handle: rollback },
  { method: 'POST', path: '/api/v1/plan', maxBody: CONFIG_BYTES, handle: plan },
  { method: 'GET', path: '/api/v1/config', handle: showConfig },
  { method: 'PUT', path: '/api/v1/config', maxBody: CONFIG_BYTES, handle: putConfig },
  { method: 'GET', path: '/api/v1/config/history', handle: listConfigs },
  { method: 'POST', path: UPGRADE_PATH, handle: upgrade },
  ...VERBS.flatMap((verb) =>
    TARGETS.map((path): Route => ({ method: 'POST', path: `${path}/${verb}`, handle: verbHandler(verb) })),
  ),
  { method: 'POST', path: '/api/v1/services/:service/backends/:backend/weight', handle: verbHandler('weight') },
]

/** A route that fits, or the status of its absence with the methods that would do. */
export type Match =
  | { readonly route: Route; readonly names: readonly string[] }
  | { readonly route: null; readonly allow: readonly string[] }

/** The path is taken apart before it is decoded: an encoded slash is part of a name. */
export function matchRoute(method: string, path: string): Match {
  const wanted = method === 'HEAD' ? 'GET' : method
  const allow: string[] = []
  for (const route of ROUTES) {
    const names = namesIn(route.path, path)
    if (names === null) continue
    if (route.method === wanted) return { route, names }
    allow.push(...(route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]))
  }
  return { route: null, allow }
}

function namesIn(pattern: string, path: string): string[] | null {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return null
  const names: string[] = []
  for (const [i, part] of wanted.entries()) {
    const text = given[i] ?? ''
    if (part.startsWith(':')) {
      const name = decoded(text)
      if (name === null) return null
      names.push(name)
    } else if (part !== text) return null
  }
  return names
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/** Ready: it listens (this listener opens last) and operators let it take new flows. A service without backends doesn't change that. */
function readyz({ manager }: AdminContext, { response, query, trusted }: Call): void {
  const { operations } = manager.operator.appliance.standing
  const word = manager.draining ? 'draining' : operations
  const alive = manager.threads?.serving === true
  const why =
    word !== 'started'
      ? word
      : !alive
        ? 'no data thread serves'
        : manager.overload.length > 0
          ? `overloaded: ${manager.overload.join(', ')}`
          : ''
  const ready = why === ''
  let text = ready ? 'ok\n' : `${why}\n`
  if (trusted && query.has('verbose'))
    for (const service of manager.services.values()) {
      const up = upOf(service)
      text += `${service.name}: ${up === 0 ? 'no backend is up' : `${up} of ${service.trackers.length} backends up`}\n`
    }
  answerText(response, ready ? 200 : 503, text)
}

async function metrics(context: AdminContext, { request, response }: Call): Promise<void> {
  const exposition = await context.exposition()
  return answerPieces(request, response, exposition.contentType, exposition.pieces())
}

function status(context: AdminContext, { response }: Call): void {
  answerJson(response, 200, statusView(context, Date.now()))
}

function services({ manager }: AdminContext, { request, response }: Call): Promise<void> {
  const views = function* () {
    for (const each of manager.services.values()) yield serviceView(each, manager, Date.now())
  }
  return answerPieces(request, response, 'application/json', jsonList(views()))
}

function service(context: AdminContext, call: Call): void {
  const found = findService(context, call)
  if (found !== undefined) answerJson(call.response, 200, serviceView(found, context.manager, Date.now()))
}

function backend(context: AdminContext, call: Call): void {
  const tracker = findBackend(context, call)
  if (tracker !== undefined) answerJson(call.response, 200, backendView(tracker, context.manager, Date.now()))
}

function findBackend(context: AdminContext, call: Call): BackendTracker | undefined {
  const [service, name] = call.names
  const found = findService(context, call)
  const tracker = found?.trackers.find((each) => each.name === name)
  if (found !== undefined && tracker === undefined)
    answerError(call.response, 404, 'unknown-backend', `service ${service} has no backend ${name}`)
  return tracker
}

/** On the appliance, or on what the path names. */
function verbHandler(verb: Verb | 'weight'): Handler {
  return async (context, call) => {
    const [service, backend] = call.names
    const target: Target = {
      ...(service === undefined ? {} : { service }),
      ...(backend === undefined ? {} : { backend }),
    }
    if (backend !== undefined) {
      if (findBackend(context, call) === undefined) return
    } else if (service !== undefined && findService(context, call) === undefined) return
    await operate(context.manager, call, target, verb)
  }
}

function findService({ manager }: AdminContext, { names, response }: Call): RunningService | undefined {
  const [name = ''] = names
  const found = manager.services.get(name)
  if (found === undefined) answerError(response, 404, 'unknown-service', `there is no service ${name}`)
  return found
}

function events({ events }: AdminContext, { request, response }: Call): void {
  if (request.method === 'HEAD') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.end()
  } else if (!events.listen(response)) answerError(response, 503, 'too-many-listeners', 'too many listen to events')
}

/** 202: it is told to end; its replacement shows in the status. */
function restartThread({ manager }: AdminContext, { names, response }: Call): void {
  const [text = ''] = names
  const thread = /^\d{1,3}$/.test(text) ? Number(text) : -1
  if (manager.threads?.kill(thread) === true) answerJson(response, 202, { thread, restarting: true })
  else answerError(response, 404, 'unknown-thread', `there is no data thread ${text}`)
}
