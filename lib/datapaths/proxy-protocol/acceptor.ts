/** Reads the PROXY header of connections from listed sources, before anything else is done with them. */
import type { Socket } from 'node:net'
import type { ServiceCell } from '../../board/index.ts'
import { AddressSet, type DeadlineWheel, fault, formatAddress, type Logger } from '../../core/index.ts'
import type { AccessLog } from '../../telemetry/index.ts'
import { newId } from '../ids.ts'
import type { Wire } from '../wire.ts'
import type { ProxyHeader } from './header.ts'
import { HeaderWait } from './header-wait.ts'
import { introduce } from './introduced-wire.ts'
import type { Accepted } from './parse.ts'
import { refusedConnection } from './refused.ts'

export interface AcceptorOptions {
  readonly service: string
  readonly protocol: string
  readonly accept: Accepted
  /** Blocks of addresses. */
  readonly from: readonly string[]
  readonly timeoutMs: number
  readonly cell: ServiceCell
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
}

/** What is left of a connection whose header has not come: what ends it. */
type Closer = () => void

export class ProxyAcceptor {
  readonly #options: AcceptorOptions
  readonly #from: AddressSet
  readonly #waits = new Map<HeaderWait, Closer>()
  readonly #told = new Set<string>()

  constructor(options: AcceptorOptions) {
    this.#options = options
    this.#from = new AddressSet(options.from)
  }

  /** Headers are waited for. */
  get busy(): boolean {
    return this.#waits.size > 0
  }

  /** `done` gets the wire as its header introduces it, at once when its peer is not listed; never when it is refused. */
  wire(wire: Wire, done: (wire: Wire) => void): void {
    const { remoteAddress, remotePort } = wire
    if (!this.#from.has(remoteAddress)) return done(wire)
    const close = (): void => wire.reset()
    const wait = this.#wait(remoteAddress, remotePort, close, (header, early) => {
      wire.pause()
      done(introduce(wire, header, early))
    })
    wire.sink = {
      onBytes: (bytes, length) => wait.push(bytes, length),
      onEnd: () => wait.peerEnded(),
      onDrain() {},
      onClose: () => wait.peerEnded(),
    }
    wire.resume()
  }

  /** The same for a paused socket; what came behind the header is put back into it. `header`: null when its peer is not listed. */
  socket(socket: Socket, done: (header: ProxyHeader | null) => void): void {
    const address = socket.remoteAddress ?? ''
    if (!this.#from.has(address)) return done(null)
    const close = (): void => {
      socket.resetAndDestroy()
    }
    const wait = this.#wait(address, socket.remotePort ?? 0, close, (header, early) => {
      socket.off('readable', read).off('end', ended).off('close', ended)
      if (early.length > 0) socket.unshift(early)
      done(header)
      socket.off('error', ended)
    })
    const read = (): void => {
      while (!wait.over) {
        const bytes = socket.read() as Buffer | null
        if (bytes === null) return
        wait.push(bytes, bytes.length)
      }
    }
    const ended = (): void => wait.peerEnded()
    socket.on('readable', read).on('end', ended).on('close', ended).on('error', ended)
  }

  /** Ends the connections whose header has not come. */
  close(): void {
    for (const [wait, close] of this.#waits) {
      wait.cancel()
      close()
    }
    this.#waits.clear()
  }

  #wait(address: string, port: number, close: Closer, done: (header: ProxyHeader, early: Buffer) => void): HeaderWait {
    const { accept, wheel, timeoutMs } = this.#options
    const wait: HeaderWait = new HeaderWait(accept, wheel, timeoutMs, {
      onHeader: (header, early) => {
        this.#waits.delete(wait)
        done(header, early)
      },
      onRefused: (problem) => {
        this.#waits.delete(wait)
        if (problem !== '') this.#report(wait, address, port, problem)
        close()
      },
      onBroken: (error) => {
        fault(error, formatAddress(address, port))
        this.#waits.delete(wait)
        close()
      },
    })
    this.#waits.set(wait, close)
    return wait
  }

  #report(wait: HeaderWait, address: string, port: number, problem: string): void {
    const { service, protocol, cell, accessLog, log } = this.#options
    cell.error('proxy-protocol')
    accessLog.write(refusedConnection({ service, protocol, address, port, id: newId(), wait }))
    if (this.#told.has(problem)) return
    this.#told.add(problem) // each kind of trouble once: a sender that is set up wrongly comes back with every connection
    log.warn({ service, client: address }, `a connection was refused for its PROXY header: ${problem}`)
  }
}
