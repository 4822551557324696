/** Connects to a backend within a time, once. */
import { connect } from 'node:net'
import {
  codeOf,
  Deadline,
  type DeadlineOwner,
  type DeadlineWheel,
  FAULT,
  fault,
  formatAddress,
  nowMs,
} from '../core/index.ts'
import type { Backend, Security } from '../pool/index.ts'
import { connectHandle, handleWires } from './handle-wire.ts'
import { SocketWire } from './socket-wire.ts'
import { askForTls } from './starttls/asking.ts'
import type { Preamble } from './starttls/contract.ts'
import { secureWire } from './tls-wire.ts'
import { idleSink, type Wire } from './wire.ts'

/** `code`: '' on success, `ETIMEDOUT` when the time was up, else the system's code. */
export type Dialled = (wire: Wire | null, code: string) => void

export class Dial implements DeadlineOwner {
  readonly #backend: Backend
  readonly #done: Dialled
  readonly #deadline: Deadline
  readonly #cancel: () => void
  readonly #startedAt = nowMs()
  #settled = false

  /**
   * `done` is never called before the constructor returned.
   * @param preamble how a backend is asked for TLS that wants to be asked
   */
  constructor(
    backend: Backend,
    wheel: DeadlineWheel,
    timeoutMs: number,
    done: Dialled,
    preamble: Preamble | null = null,
  ) {
    this.#backend = backend
    this.#done = done
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(timeoutMs)
    const settle: Dialled = (wire, code) => this.#settle(wire, code)
    const { security } = backend
    const { host, port } = backend
    if (security !== null) this.#cancel = connectSecure(backend, security, preamble, settle)
    else this.#cancel = handleWires ? connectHandle(host, port, settle) : connectSocket(host, port, settle)
  }

  onDeadline(): void {
    this.#cancel()
    this.#settle(null, 'ETIMEDOUT')
  }
  onThrown(error: unknown): void {
    fault(error, formatAddress(this.#backend.host, this.#backend.port))
    this.#cancel()
    this.#settle(null, FAULT)
  }

  /** Gives up without a word. */
  cancel(): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadline.release()
    this.#cancel()
  }

  #settle(wire: Wire | null, code: string): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadline.release()
    if (wire === null) this.#backend.cell.connectFailure()
    else this.#backend.cell.connected(nowMs() - this.#startedAt)
    this.#done(wire, code)
  }
}

/** The connection and the handshake together have the time of a connect. */
function connectSecure(
  { host, port }: Backend,
  security: Security,
  preamble: Preamble | null,
  done: Dialled,
): () => void {
  const raw = connect({ host, port, allowHalfOpen: true, noDelay: true })
  const failed = (error: Error): void => {
    raw.destroy()
    done(null, codeOf(error))
  }
  raw.once('error', failed)
  const shake = (): void => {
    const socket = security.wrap(raw, host, port)
    socket.once('error', failed)
    socket.once('secureConnect', () => {
      const wire = secureWire(socket, raw)
      wire.sink = idleSink
      socket.off('error', failed)
      raw.off('error', failed)
      done(wire, '')
    })
  }
  raw.once('connect', () => {
    if (!security.asked || preamble === null) return shake()
    askForTls(raw, preamble.asks, (problem) => {
      if (problem === null) return shake()
      security.refused(host, port, problem)
      failed(new Error(problem))
    })
  })
  return () => {
    raw.off('error', failed)
    raw.on('error', () => {}) // what it says of a connection given up interests nobody
    raw.destroy()
  }
}

function connectSocket(host: string, port: number, done: Dialled): () => void {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
  const failed = (error: Error): void => done(null, codeOf(error))
  socket.once('error', failed)
  socket.once('connect', () => {
    const wire = new SocketWire(socket)
    wire.sink = idleSink
    socket.off('error', failed)
    done(wire, '')
  })
  return () => {
    socket.off('error', failed)
    socket.on('error', () => {}) // what it says of a connection given up interests nobody
    socket.destroy()
  }
}
