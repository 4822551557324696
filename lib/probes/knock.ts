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
const PARTING_MS = 250 // a backend across the country has closed its side by then
const UNREAD_TIMES = 100 // then it is looked at again: another program may listen there
const CONNECTED: ProbeResult = { detail: 'connected' }
const ignored = Buffer.allocUnsafeSlow(4096) // what backends say is read and forgotten

/** @throws ProbeFailure */
export const knock = (target: Address, signal: AbortSignal): Promise<ProbeResult> =>
  tcpHandles === null ? bySocket(target, signal) : byHandle(tcpHandles, target, signal)

const aborted = (): ProbeFailure => new ProbeFailure('timeout', 'aborted before the connect')
const late = (): ProbeFailure => new ProbeFailure('timeout', 'no connection in time')

function byHandle(handles: TcpHandles, target: Address, signal: AbortSignal): Promise<ProbeResult> {
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
        return leave(handles, handle, target)
      }
      handle.close()
      reject(new ProbeFailure('connect', `connect failed: ${getSystemErrorName(status)}`))
    }
    signal.addEventListener('abort', onAbort)
    const status = connectTcp(handles, handle, target.host, target.port, onConnected)
    if (status !== 0) onConnected(status)
  })
}

/**
 * FIN first, and what still comes is read: closing with unread bytes would send RST, which backends log as an error. Who said nothing
 * is left unread the next times: he closes too, and a sweep closes thousands of handles at once.
 */
function leave(handles: TcpHandles, handle: TcpHandle, target: Address): void {
  const unread = silent.get(target) ?? 0
  if (unread === 0) return readOut(handles, handle, () => silent.set(target, UNREAD_TIMES))
  silent.set(target, unread - 1)
  if (!sayGoodbye(handles, handle)) return handle.close()
  handle.unref()
  parting.push(handle)
  sweeper ??= setInterval(sweep, PARTING_MS).unref()
}

/** Backends that said nothing when they were left, and how often they will be left unread. */
const silent = new WeakMap<Address, number>()

/** Handles that said goodbye since the last sweep, and those before. */
let parting: TcpHandle[] = []
let parted: TcpHandle[] = []
let sweeper: NodeJS.Timeout | null = null

function sweep(): void {
  for (const handle of parted) handle.close()
  parted = parting
  parting = []
  if (parted.length > 0 || sweeper === null) return
  clearInterval(sweeper)
  sweeper = null
}

function sayGoodbye({ stream }: TcpHandles, handle: TcpHandle): boolean {
  const farewell = new stream.ShutdownWrap()
  farewell.oncomplete = () => {} // a failure is no matter: it is closed soon
  return handle.shutdown(farewell) === 0
}

/** @param onSilence it said nothing until its end, or for a second */
function readOut(handles: TcpHandles, handle: TcpHandle, onSilence: () => void): void {
  const { stream } = handles
  let timer: NodeJS.Timeout | null = null
  let spoke = false
  const close = (): void => {
    if (timer === null) return
    clearTimeout(timer)
    timer = null
    handle.close()
    if (!spoke) onSilence()
  }
  timer = setTimeout(close, LINGER_MS)
  timer.unref()
  handle.unref()
  handle.useUserBuffer(ignored)
  handle.onread = () => {
    if ((stream.streamBaseState[stream.kReadBytesOrError] as number) < 0) close()
    else spoke = true
    return undefined
  }
  handle.readStart()
  if (!sayGoodbye(handles, handle)) close()
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

/** FIN first, and what still comes is read. */
function leaveSocket(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.on('close', () => clearTimeout(timer))
  socket.unref()
  socket.resume()
  socket.end()
}
