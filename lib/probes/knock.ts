/** A connection and nothing else, as most probes are: half of what a conversation costs. */
import { connect, type Socket } from 'node:net'
import { type Address, codeOf, messageOf } from '../core/index.ts'
import { ProbeFailure, type ProbeResult } from './contract.ts'

const LINGER_MS = 1000 // as a conversation's
const CONNECTED: ProbeResult = { detail: 'connected' }

/** @throws ProbeFailure */
export function knock({ host, port }: Address, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new ProbeFailure('timeout', 'aborted before the connect'))
    const socket = connect({ host, port })
    const onAbort = (): void => {
      reject(new ProbeFailure('timeout', 'no connection in time'))
      socket.destroy()
    }
    signal.addEventListener('abort', onAbort)
    socket.on('connect', () => {
      signal.removeEventListener('abort', onAbort)
      resolve(CONNECTED)
      leave(socket)
    })
    // Stays for good: an error after the connect concerns nobody, and without a listener it would end the process.
    socket.on('error', (error) => {
      signal.removeEventListener('abort', onAbort)
      reject(new ProbeFailure('connect', `connect failed: ${codeOf(error) || messageOf(error)}`, error))
    })
  })
}

/** FIN first, and what still comes is read: closing with unread bytes would send RST, which backends log as an error. */
function leave(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.on('close', () => clearTimeout(timer))
  socket.unref()
  socket.resume()
  socket.end()
}
