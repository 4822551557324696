/** The data thread's composition root: builds a datapath for each service, and obeys the control thread. */
import { parentPort, workerData } from 'node:worker_threads'
import { Board } from './board/index.ts'
import { createLogger, DeadlineWheel, messageOf } from './core/index.ts'
import { createDatapath, type Datapath, type ThreadTools } from './datapaths/index.ts'
import type { FromThread, Request, ThreadStart, ToThread } from './service/index.ts'
import { AccessLog } from './telemetry/index.ts'
import { TicketRing } from './tls/index.ts'

const port = parentPort
if (port === null) throw new Error('data-thread.ts runs in a worker')
const { board, bindings, threads, thread, accessLog, services, gates, tickets } = workerData as ThreadStart

const tell = (message: FromThread): void => port.postMessage(message)
const log = createLogger({ thread })
const tools: ThreadTools = {
  board: new Board(threads, board, bindings),
  thread,
  wheel: new DeadlineWheel(),
  accessLog: new AccessLog(accessLog, (message) => tell({ type: 'problem', message })),
  log,
  tickets: new TicketRing(tickets),
}
const datapaths = new Map<string, Datapath>()

async function start(): Promise<void> {
  try {
    for (const view of services) datapaths.set(view.name, await createDatapath(view, tools))
    for (const [name, datapath] of datapaths) await datapath.admit(gates[name] ?? 'open')
    tell({ type: 'listening' })
  } catch (error) {
    await Promise.all([...datapaths.values()].map((datapath) => datapath.close()))
    tell({ type: 'failed', message: messageOf(error) })
  }
}

async function obey(message: ToThread): Promise<void> {
  await started // a listener that opens behind a drain would never close
  switch (message.type) {
    case 'drain':
      await Promise.all([...datapaths.values()].map((datapath) => datapath.drain()))
      await tools.accessLog.close()
      return tell({ type: 'drained' })
    case 'admit':
    case 'cut':
    case 'secure':
    case 'tickets':
    case 'oldest':
      return answer(message)
    case 'stop':
      await Promise.all([...datapaths.values()].map((datapath) => datapath.close()))
      await tools.accessLog.close()
      return process.exit(0)
    case 'reopen-logs':
      return tools.accessLog.reopen()
    case 'collect':
      return void globalThis.gc?.() // an idle thread collects nothing by itself
    case 'die':
      throw new Error('ended on purpose')
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

async function carryOut(request: Request): Promise<number | null> {
  if (request.type === 'tickets') {
    tools.tickets.replace(request.tickets)
    return null
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

const started = start()
port.on('message', (message: ToThread) => {
  void obey(message)
})
