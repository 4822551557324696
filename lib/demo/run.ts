/** The demo as a program of its own: starts the backends in this process, says where, and ends with its signal. */
import { once } from 'node:events'
import { formatAddress } from '../core/index.ts'
import { type DemoOptions, startDemoBackends } from './backends.ts'

export interface RunDemoOptions extends DemoOptions {
  /** Ends the demo. */
  readonly signal: AbortSignal
  /** Takes each line for the user. Default: to stdout. */
  readonly write?: (line: string) => void
}

export async function runDemo(options: RunDemoOptions): Promise<void> {
  const { signal, write = (line: string) => process.stdout.write(`${line}\n`), ...backends } = options
  if (signal.aborted) return
  const handle = await startDemoBackends(backends)
  for (const { name, http, tcp } of handle.addresses)
    write(`${name}  http://${formatAddress(http.host, http.port)}  tcp ${formatAddress(tcp.host, tcp.port)}`)
  if (!signal.aborted) await once(signal, 'abort')
  await handle.close()
}
