/** Runs the demo backends in a worker thread, so that their load does not disturb the caller's event loop. */
import { Worker } from 'node:worker_threads'
import { BalancerError, ERRORS, type ErrorCode, messageOf } from '../core/index.ts'
import type { DemoAddresses, DemoHandle, DemoOptions } from './backends.ts'

export interface DemoWorkerOptions extends DemoOptions {
  /** Called when the thread ends without having been told to. Default: nothing. */
  readonly onExit?: (error: BalancerError) => void
}

/** The worker's first and only message. */
export type DemoReport =
  | { readonly ok: true; readonly addresses: readonly DemoAddresses[] }
  | { readonly ok: false; readonly code: string; readonly message: string }

const CLOSE_DEADLINE_MS = 2000 // closing cuts connections and takes milliseconds

export async function startDemoWorker(options: DemoWorkerOptions = {}): Promise<DemoHandle> {
  const { onExit, ...workerData } = options
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, name: 'demo' })
  // Taken down as it comes: behind a wait, the exit of a worker that reports and ends would seem to have come first.
  let told: DemoReport | undefined
  const reported = new Promise<void>((done) =>
    worker.once('message', (message: DemoReport) => {
      told = message
      done()
    }),
  )
  let failure: unknown
  worker.on('error', (error) => {
    failure = error
  })
  const exited = new Promise<void>((done) => worker.once('exit', () => done()))
  await Promise.race([reported, exited])
  const report = told ?? died(failure)
  if (!report.ok) {
    await worker.terminate()
    const code = isErrorCode(report.code) ? report.code : 'THREAD_DIED'
    throw new BalancerError(code, code === report.code ? report.message : `the demo failed: ${report.message}`)
  }
  let closed: Promise<void> | null = null
  void exited.then(() => {
    if (closed === null)
      onExit?.(new BalancerError('THREAD_DIED', `the demo ended: ${messageOf(failure ?? 'no reason given')}`))
  })
  return { addresses: report.addresses, close: () => (closed ??= closeWorker(worker, exited)) }
}

async function closeWorker(worker: Worker, exited: Promise<void>): Promise<void> {
  const timer = setTimeout(() => void worker.terminate(), CLOSE_DEADLINE_MS)
  worker.postMessage('close')
  await exited
  clearTimeout(timer)
}

const died = (failure: unknown): DemoReport => ({
  ok: false,
  code: 'THREAD_DIED',
  message: failure === undefined ? 'it ended before it was ready' : messageOf(failure),
})

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code)
