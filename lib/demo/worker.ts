/** Entry of the worker thread that runs the demo backends: starts them, reports, and closes them when told. */
import { parentPort, workerData } from 'node:worker_threads'
import { codeOf, messageOf } from '../core/index.ts'
import { type DemoOptions, startDemoBackends } from './backends.ts'
import type { DemoReport } from './launch.ts'

const port = parentPort
if (port === null) throw new Error('this file is the entry of a worker thread')
const report = (message: DemoReport) => port.postMessage(message)

try {
  const handle = await startDemoBackends(workerData as DemoOptions)
  port.once('message', async () => {
    await handle.close()
    port.close()
  })
  report({ ok: true, addresses: handle.addresses })
} catch (error) {
  report({ ok: false, code: codeOf(error), message: messageOf(error) })
}
