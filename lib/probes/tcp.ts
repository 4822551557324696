/** The TCP probe: a backend that accepts a connection passes. */
import { connect, type Socket } from 'node:net'
import { type Address, codeOf, messageOf } from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'

const LINGER_MS = 1000 // for the peer's FIN; a peer that answers ours at all does so in a round trip

export const createTcpProbe = (): Probe => ({ check })

function check({ host, port }: Address, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((pass, fail) => {
    if (signal.aborted) {
      fail(new ProbeFailure('timeout', 'aborted before the connect'))
      return
    }
    const socket = connect({ host, port })
    const end = (): void => {
      signal.removeEventListener('abort', onAbort)
      socket.off('connect', onConnect)
    }
    const onAbort = (): void => {
      end()
      socket.destroy()
      fail(new ProbeFailure('timeout', 'no connection in time'))
    }
    const onConnect = (): void => {
      end()
      closeSoftly(socket)
      pass({ detail: 'connected' })
    }
    socket.once('connect', onConnect)
    // Stays for good: an error after the connect concerns nobody, and without a listener it would end the process.
    socket.on('error', (error) => {
      end()
      fail(new ProbeFailure('connect', `connect failed: ${codeOf(error) || messageOf(error)}`, error))
    })
    signal.addEventListener('abort', onAbort)
  })
}

/** FIN first, and a greeting is read: closing with unread bytes would send RST, which backends log as an error. */
function closeSoftly(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.unref()
  socket.resume()
  socket.end()
}
