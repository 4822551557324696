/** The data thread's composition root: builds a datapath for each service, and obeys the control thread. */
import { parentPort, workerData } from 'node:worker_threads'
import { Board } from './board/index.ts'
import { createLogger, DeadlineWheel, messageOf } from './core/index.ts'
import { createDatapath, type Datapath, type ThreadTools } from './datapaths/index.ts'
import type { FromThread, ThreadStart, ToThread } from './service/index.ts'
import { AccessLog } from './telemetry/index.ts'

const port = parentPort
if (port === null) throw new Error('data-thread.ts runs in a worker')
const { board, bindings, threads, thread, accessLog, services } = workerData as ThreadStart

const tell = (message: FromThread): void => port.postMessage(message)
const log = createLogger({ thread })
const tools: ThreadTools = {
  board: new Board(threads, board, bindings),
  thread,
  wheel: new DeadlineWheel(),
  accessLog: new AccessLog(accessLog, (message) => tell({ type: 'problem', message })),
  log,
}
const datapaths = new Map<string, Datapath>()

async function start(): Promise<void> {
  try {
    for (const view of services) datapaths.set(view.name, createDatapath(view, tools))
    for (const datapath of datapaths.values()) await datapath.open()
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
    case 'cut':
      return datapaths.get(message.service)?.cut(message.backend)
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

const started = start()
port.on('message', (message: ToThread) => {
  void obey(message)
})
