/** A connection and nothing else, as most probes are: on a bare handle, which costs a third of a socket. */
import { connect, type Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import {
  type Address,
  codeOf,
  connectTcp,
  messageOf,
  type TcpHandle,
  type TcpHandles,
  tcpHandles,
} from '../core/index.ts'
import { ProbeFailure, type ProbeResult } from './contract.ts'

const LINGER_MS = 1000 // as a conversation's
const CONNECTED: ProbeResult = { detail: 'connected' }
const ignored = Buffer.allocUnsafeSlow(4096) // what backends say is read and forgotten

/** @throws ProbeFailure */
export const knock = (target: Address, signal: AbortSignal): Promise<ProbeResult> =>
  tcpHandles === null ? bySocket(target, signal) : byHandle(tcpHandles, target, signal)

const aborted = (): ProbeFailure => new ProbeFailure('timeout', 'aborted before the connect')
const late = (): ProbeFailure => new ProbeFailure('timeout', 'no connection in time')

function byHandle(handles: TcpHandles, { host, port }: Address, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted())
    const handle = new handles.tcp.TCP(handles.tcp.constants.SOCKET)
    let over = false
    const onAbort = (): void => {
      over = true
      handle.close()
      reject(late())
    }
    const onConnected = (status: number): void => {
      if (over) return // its end by `onAbort` is told here too
      signal.removeEventListener('abort', onAbort)
      if (status === 0) {
        resolve(CONNECTED)
        return leaveHandle(handles, handle)
      }
      handle.close()
      reject(new ProbeFailure('connect', `connect failed: ${getSystemErrorName(status)}`))
    }
    signal.addEventListener('abort', onAbort)
    const status = connectTcp(handles, handle, host, port, onConnected)
    if (status !== 0) onConnected(status)
  })
}

/** FIN first, and what still comes is read: closing with unread bytes would send RST, which backends log as an error. */
function leaveHandle({ stream }: TcpHandles, handle: TcpHandle): void {
  let timer: NodeJS.Timeout | null = null
  const close = (): void => {
    if (timer === null) return
    clearTimeout(timer)
    timer = null
    handle.close()
  }
  timer = setTimeout(close, LINGER_MS)
  timer.unref()
  handle.unref()
  handle.useUserBuffer(ignored)
  handle.onread = () => {
    if ((stream.streamBaseState[stream.kReadBytesOrError] as number) < 0) close()
    return undefined
  }
  handle.readStart()
  const farewell = new stream.ShutdownWrap()
  farewell.oncomplete = () => {} // a failure shows as a read error
  if (handle.shutdown(farewell) !== 0) close()
}

function bySocket({ host, port }: Address, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted())
    const socket = connect({ host, port })
    const onAbort = (): void => {
      reject(late())
      socket.destroy()
    }
    signal.addEventListener('abort', onAbort)
    socket.on('connect', () => {
      signal.removeEventListener('abort', onAbort)
      resolve(CONNECTED)
      leaveSocket(socket)
    })
    // Stays for good: an error after the connect concerns nobody, and without a listener it would end the process.
    socket.on('error', (error) => {
      signal.removeEventListener('abort', onAbort)
      reject(new ProbeFailure('connect', `connect failed: ${codeOf(error) || messageOf(error)}`, error))
    })
  })
}

/** The same as `leaveHandle`. */
function leaveSocket(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.on('close', () => clearTimeout(timer))
  socket.unref()
  socket.resume()
  socket.end()
}
