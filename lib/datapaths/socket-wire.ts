/** A wire on a documented node socket: for TLS, and for runtimes without the handles of handle-wire.ts. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { codeOf, FAULT, fault, formatAddress } from '../core/index.ts'
import type { Outbox } from './outbox.ts'
import { certificateCovers, cutSecure, protocolOf, serverNameOf, wasReset } from './tls-socket.ts'
import { idleSink, type Wire, type WireSink } from './wire.ts'

export class SocketWire implements Wire {
  sink: WireSink = idleSink
  /** Every chunk of a stream is memory of its own. */
  readonly owned = true
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localPort: number
  readonly clientFields: string
  readonly #socket: Socket
  readonly #raw: Socket
  #inflight = 0
  #closed = false
  #paused = true
  /** The peer's end has come and the sink has not heard of it. */
  #ended = false

  /** @param raw the TCP socket below a TLS socket, for `reset` */
  constructor(socket: Socket, raw = socket, clientFields = '') {
    this.clientFields = clientFields
    this.#socket = socket
    this.#raw = raw
    this.remoteAddress = raw.remoteAddress ?? ''
    this.remotePort = raw.remotePort ?? 0
    this.localPort = raw.localPort ?? 0
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      try {
        this.sink.onBytes(chunk, chunk.length)
      } catch (thrown) {
        this.#fault(thrown)
      }
    })
    socket.on('end', () => {
      if (raw !== socket && !socket.writableEnded && wasReset(raw)) return this.#fail('ECONNRESET')
      this.#ended = true
      this.#tellEnd()
    })
    socket.on('error', (error) => this.#fail(codeOf(error)))
    // A socket closes by itself when both sides have ended: nothing broke then.
    socket.on('close', () => {
      if (!socket.readableEnded || !socket.writableFinished) this.#fail('')
    })
    if (raw !== socket) raw.on('error', (error) => this.#fail(codeOf(error)))
    socket.pause()
  }

  get localAddress(): string {
    return this.#raw.localAddress ?? ''
  }

  get serverName(): string {
    return this.#socket instanceof TLSSocket ? serverNameOf(this.#socket) : ''
  }

  get protocol(): string {
    return this.#socket instanceof TLSSocket ? protocolOf(this.#socket) : ''
  }

  covers(authority: string): boolean {
    return !(this.#socket instanceof TLSSocket) || certificateCovers(this.#socket, authority)
  }

  get pending(): boolean {
    return this.#inflight > 0
  }

  get borrowing(): boolean {
    return this.#inflight > 0
  }

  /** TLS has an end of its own to send, and node may hold what the kernel did not take yet. */
  get settled(): boolean {
    return false
  }

  get queued(): number {
    return this.#socket.writableLength
  }

  writeText(text: string): boolean {
    this.#inflight++
    const more = this.#socket.write(text, 'latin1', this.#written)
    return more
  }

  writeOut(out: Outbox): boolean {
    this.#inflight++
    return this.#socket.write(Buffer.from(out.view()), this.#written)
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    this.#inflight++
    return this.#socket.write(Buffer.from(bytes.subarray(start, end)), this.#written)
  }

  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    this.#inflight++
    this.#socket.write(bytes.subarray(start, end), this.#written)
    return false
  }

  readonly #written = (error?: Error | null): void => {
    this.#inflight--
    // Of a write that failed the close is told, which comes next: it has not drained.
    if (this.#inflight > 0 || this.#closed || error) return
    try {
      this.sink.onDrain()
    } catch (thrown) {
      this.#fault(thrown)
    }
  }

  end(): void {
    this.#socket.end()
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (this.#closed) return
    this.#paused = false
    this.#socket.resume()
    if (this.#ended) process.nextTick(this.#tellEnd)
  }

  /** With nothing buffered a socket tells its end even while it is paused: it waits here. */
  readonly #tellEnd = (): void => {
    if (!this.#ended || this.#paused || this.#closed) return
    this.#ended = false
    try {
      this.sink.onEnd()
    } catch (thrown) {
      this.#fault(thrown)
    }
  }

  bulk(): void {}

  destroy(): void {
    this.#closed = true
    this.sink = idleSink
    this.#socket.destroy()
  }

  reset(): void {
    if (this.#closed) return
    this.#closed = true
    this.sink = idleSink
    if (this.#raw === this.#socket) this.#cut()
    else setImmediate(() => this.#cut())
  }

  /** Its sink threw: the connection ends. @throws `error` when it was gone by then, and nobody can be told */
  #fault(error: unknown): void {
    if (this.#closed) throw error
    fault(error, formatAddress(this.remoteAddress, this.remotePort))
    const sink = this.sink
    this.reset()
    sink.onClose(FAULT)
  }

  #cut(): void {
    const { writableEnded, writableFinished, writableLength } = this.#socket
    // Everything is with the kernel and the end follows it: nothing is cut.
    cutSecure(this.#socket, this.#raw, writableEnded && !writableFinished && writableLength === 0)
  }

  #fail(code: string): void {
    if (this.#closed) return
    const sink = this.sink
    this.destroy()
    sink.onClose(code)
  }
}
