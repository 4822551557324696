/** The data thread's composition root: has a datapath for each service, and obeys the control thread. */
import { setImmediate as others } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { Board, ThreadCell } from './board/index.ts'
import { collectGarbage, createRelayedLogger, DeadlineWheel, messageOf, nowMs, onFault } from './core/index.ts'
import { createDatapath, type Datapath, Doors, Heartbeat, type ThreadTools, turnsOfLoop } from './datapaths/index.ts'
import type { Answer, FromThread, Request, ThreadStart, ToThread } from './service/index.ts'
import { AccessLog } from './telemetry/index.ts'
import { Challenges, TicketRing } from './tls/index.ts'

const STINT_MS = 5 // flows run between two stints of preparing

const port = parentPort
if (port === null) throw new Error('data-thread.ts runs in a worker')
const given = workerData as ThreadStart
const { board, bindings, threads, thread, accessLog, services, gates, tickets, challenges, handed } = given

const tell = (message: FromThread): void => port.postMessage(message)
const log = createRelayedLogger({ thread }, (line) => tell({ type: 'log', line }))
const shared = new Board(threads, board, bindings)
const cell = new ThreadCell(shared, thread)
const heartbeat = new Heartbeat(cell, () => shared.delayLimit, turnsOfLoop())
const tools: ThreadTools = {
  board: shared,
  load: heartbeat,
  thread,
  wheel: new DeadlineWheel(),
  accessLog: new AccessLog(accessLog, (message) => tell({ type: 'problem', message })),
  log,
  tickets: new TicketRing(tickets),
  challenges: new Challenges(challenges),
  doors: new Doors(handed),
}
const datapaths = new Map<string, Datapath>()
/** Those with another view than before once the change under way is committed, and those that it adds. */
const prepared = new Map<string, Datapath>()
let ending = false
let stint = nowMs()

onFault((error, client) => {
  cell.fault()
  log.error({ err: error, client }, `an unexpected error ended a flow: ${messageOf(error)}`)
})

/** The process before has not let us in yet. */
let waits = handed !== null
let letIn = (): void => {}
const opening = new Promise<void>((resolve) => {
  letIn = () => {
    waits = false
    resolve()
  }
})

async function start(): Promise<void> {
  try {
    for (const view of services) {
      const datapath = createDatapath(tools)
      datapaths.set(view.name, datapath)
      await datapath.prepare(view, gates[view.name] ?? 'open')
    }
    if (handed !== null) {
      tell({ type: 'ready' })
      await opening
      await tools.doors.listen()
    }
    for (const datapath of datapaths.values()) datapath.commit()
    heartbeat.start()
    tell({ type: 'listening' })
  } catch (error) {
    await Promise.all([...datapaths.values()].map((datapath) => datapath.close()))
    tell({ type: 'failed', message: messageOf(error) })
  }
}

async function obey(message: ToThread): Promise<void> {
  if (message.type === 'open') return letIn()
  if (message.type === 'stop' && waits) return process.exit(0)
  await started // a listener that opens behind a drain would never close
  switch (message.type) {
    case 'drain':
      ending = true
      await Promise.all([...datapaths.values()].map((datapath) => datapath.drain(message.politely)))
      await tools.accessLog.close()
      return tell({ type: 'drained' })
    case 'stop':
      ending = true
      await Promise.all([...datapaths.values()].map((datapath) => datapath.close()))
      await tools.accessLog.close()
      return process.exit(0)
    case 'take-back':
      return tools.doors.takeBack()
    case 'reopen-logs':
      return tools.accessLog.reopen()
    case 'collect':
      return collectGarbage()
    case 'die':
      throw new Error('ended on purpose')
    default:
      return answer(message)
  }
}

/** Does what is asked, and tells when it is done. */
async function answer(request: Request & { readonly id: number }): Promise<void> {
  const { id } = request
  try {
    tell({ type: 'done', id, value: await carryOut(request), failed: null })
  } catch (error) {
    tell({ type: 'done', id, value: null, failed: messageOf(error) })
  }
}

/** What is prepared, committed or undone comes one after the other. */
let changing: Promise<unknown> = Promise.resolve()
function inTurn(act: () => Promise<void> | void): Promise<null> {
  const turn = changing.then(act)
  changing = turn.catch(() => {})
  return turn.then(() => null)
}

async function carryOut(request: Request): Promise<Answer> {
  switch (request.type) {
    case 'tickets':
      tools.tickets.replace(request.tickets)
      return null
    case 'challenges':
      tools.challenges.replace(request.view)
      return null
    case 'prepare':
      return inTurn(() => prepare(request))
    case 'commit':
      return inTurn(() => commit(request.removed))
    case 'undo':
      return inTurn(undo)
    case 'lend':
      return tools.doors.lend()
    case 'forget':
      return inTurn(() => forget(request.service))
  }
  const datapath = datapaths.get(request.service)
  if (datapath === undefined) return null
  if (request.type === 'admit') await datapath.admit(request.gate)
  else if (request.type === 'secure') datapath.secure(request.tls)
  else if (request.type === 'cut') await datapath.cut(request.backend, request.spreadMs)
  else {
    const oldest = datapath.oldest(request.backend)
    return oldest < Number.POSITIVE_INFINITY ? oldest : null
  }
  return null
}

async function prepare({ view, gate }: Extract<Request, { type: 'prepare' }>): Promise<void> {
  if (ending) throw new Error('the process is about to end')
  if (nowMs() - stint > STINT_MS) {
    await others()
    stint = nowMs()
  }
  const datapath = datapaths.get(view.name) ?? createDatapath(tools)
  await datapath.prepare(view, gate)
  prepared.set(view.name, datapath)
}

/** All in one go: no connection meets half of the change. */
function commit(removed: readonly string[]): void {
  if (ending) return undo()
  for (const [name, datapath] of prepared) {
    datapath.commit()
    datapaths.set(name, datapath)
  }
  prepared.clear()
  // Behind the others: an address that one of them has taken over stays open.
  for (const name of removed) void datapaths.get(name)?.admit('shut')
}

function undo(): void {
  for (const datapath of prepared.values()) datapath.discard()
  prepared.clear()
}

/** The last flow of a removed service has ended. */
async function forget(service: string): Promise<void> {
  await datapaths.get(service)?.close()
  datapaths.delete(service)
}

const started = start()
port.on('message', (message: ToThread) => {
  void obey(message)
})
