/** One dialogue with a backend over TCP or TLS: bounded in what it reads, ended by its signal, closed without a reset. */
import { connect, type Socket } from 'node:net'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { type Address, codeOf, messageOf, tlsOptions, tlsProblem } from '../core/index.ts'
import { ProbeFailure, type ProbeResult } from './contract.ts'
import type { Security } from './security.ts'

export const MAX_ANSWER = 16 * 1024 // all that a backend may say in one dialogue; the longest honest one is below 4 KiB
const LINGER_MS = 1000 // for the peer's FIN; a peer that answers ours at all does so in a round trip

type Step = 'connect' | 'tls' | 'talk'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (failure: ProbeFailure) => void
}

/**
 * Connects, secures where TLS is implicit, talks, and leaves.
 * @throws ProbeFailure
 */
export async function converse(
  target: Address,
  signal: AbortSignal,
  security: Security,
  talk: (backend: Conversation) => ProbeResult | Promise<ProbeResult>,
): Promise<ProbeResult> {
  if (signal.aborted) throw new ProbeFailure('timeout', 'aborted before the connect')
  const conversation = new Conversation(target, security)
  const onAbort = (): void => conversation.abort()
  signal.addEventListener('abort', onAbort)
  try {
    await conversation.connected()
    if (security.mode === 'implicit') await conversation.secure()
    const result = await talk(conversation)
    conversation.leave()
    return result
  } catch (error) {
    conversation.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

export class Conversation {
  readonly #host: string
  readonly #security: Security
  readonly #raw: Socket
  #socket: Socket | TLSSocket
  #step: Step = 'connect'
  #input: Buffer = Buffer.alloc(0)
  #received = 0
  #farewell: string | Buffer | null = null
  #left = false
  #failure: ProbeFailure | null = null
  #waiter: Waiter | null = null

  constructor({ host, port }: Address, security: Security) {
    this.#host = host
    this.#security = security
    this.#raw = connect({ host, port })
    this.#socket = this.#raw
    // Stay for good: an error after the end concerns nobody, and without a listener it would end the process.
    this.#raw.on('error', (error) => this.#onError(error))
  }

  /** TLS is to be asked for in the words of the protocol. */
  get startsTls(): boolean {
    return this.#security.mode === 'starttls' && this.#socket === this.#raw
  }

  /** Everything said is encrypted. */
  get secured(): boolean {
    return this.#socket !== this.#raw
  }

  /** The version of TLS, '' without. */
  get tlsVersion(): string {
    return 'getProtocol' in this.#socket ? (this.#socket.getProtocol() ?? '') : ''
  }

  /** Our own address on this connection. */
  get localAddress(): string {
    return this.#raw.localAddress ?? '127.0.0.1'
  }

  async connected(): Promise<void> {
    await this.#event(this.#raw, 'connect')
    this.#listen(this.#raw)
    this.#step = 'talk'
  }

  /** The handshake of TLS, on what was plain so far. */
  async secure(): Promise<void> {
    // What came before the handshake is nobody's word, and must not count as the backend's (CVE-2011-0411).
    if (this.#input.length > 0) throw new ProbeFailure('protocol', 'data before the TLS handshake')
    this.#step = 'tls'
    this.#raw.removeAllListeners('data')
    const socket = tlsConnect({ socket: this.#raw, ...tlsOptions(this.#security.trust, this.#host) })
    this.#socket = socket
    socket.on('error', (error) => this.#onError(error))
    await this.#event(socket, 'secureConnect')
    this.#listen(socket)
    this.#step = 'talk'
  }

  write(text: string | Buffer): void {
    this.#socket.write(text)
  }

  /** Says it once all is well, without waiting for an answer. */
  bidFarewell(text: string | Buffer): void {
    this.#farewell = text
  }

  /** The next line, without its end. */
  async line(): Promise<string> {
    let end = this.#input.indexOf(10)
    while (end === -1) {
      await this.#arrival()
      end = this.#input.indexOf(10)
    }
    const text = this.#take(end + 1).toString()
    return text.replace(/\r?\n$/, '')
  }

  async bytes(count: number): Promise<Buffer> {
    if (count > MAX_ANSWER) throw tooLong()
    while (this.#input.length < count) await this.#arrival()
    return this.#take(count)
  }

  /** Resolves as soon as all that came holds these bytes. */
  async until(bytes: Buffer): Promise<void> {
    while (!this.#input.includes(bytes)) await this.#arrival()
  }

  abort(): void {
    this.#fail(new ProbeFailure('timeout', this.#step === 'connect' ? 'no connection in time' : 'no answer in time'))
    this.destroy()
  }

  destroy(): void {
    this.#left = true
    this.#socket.destroy()
    this.#raw.destroy()
  }

  /** FIN first, and what still comes is read: closing with unread bytes would send RST, which backends log as an error. */
  leave(): void {
    this.#left = true
    const timer = setTimeout(() => this.destroy(), LINGER_MS)
    timer.unref()
    this.#raw.once('close', () => clearTimeout(timer))
    this.#raw.unref()
    this.#socket.unref()
    this.#socket.resume()
    if (this.#farewell === null) this.#socket.end()
    else this.#socket.end(this.#farewell)
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.once('end', () => this.#onEnd())
    socket.once('close', () => this.#onEnd())
  }

  #event(socket: Socket, name: 'connect' | 'secureConnect'): Promise<void> {
    socket.once(name, () => this.#wake())
    socket.once('close', () => this.#onEnd())
    return this.#arrival()
  }

  #arrival(): Promise<void> {
    const failure = this.#failure
    if (failure !== null) return Promise.reject(failure)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  #wake(): void {
    const waiter = this.#waiter
    this.#waiter = null
    waiter?.resolve()
  }

  #onData(chunk: Buffer): void {
    if (this.#left) return
    this.#received += chunk.length
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    this.#wake()
    // What fits has been looked at before, for a waiter asks again only when it wants more.
    if (this.#received > MAX_ANSWER) this.#fail(tooLong())
  }

  #onEnd(): void {
    if (this.#left) return // an error costs more than the whole farewell
    const text = 'the connection was closed before a complete answer'
    this.#fail(
      this.#step === 'tls'
        ? new ProbeFailure('tls', 'TLS handshake failed: closed')
        : new ProbeFailure(this.#step === 'connect' ? 'connect' : 'closed', text),
    )
  }

  #onError(error: Error): void {
    const code = codeOf(error)
    if (this.#step === 'connect')
      this.#fail(new ProbeFailure('connect', `connect failed: ${code || messageOf(error)}`, error))
    else if (this.#step === 'tls' || code.startsWith('ERR_SSL'))
      this.#fail(new ProbeFailure('tls', tlsProblem(error), error))
    else if (code === 'ECONNRESET' || code === 'EPIPE')
      this.#fail(new ProbeFailure('reset', 'the connection was reset before a complete answer', error))
    else this.#fail(new ProbeFailure('other', messageOf(error), error))
  }

  /** The first failure is the one that is told, to whoever waits now or later. */
  #fail(failure: ProbeFailure): void {
    this.#failure ??= failure
    const waiter = this.#waiter
    this.#waiter = null
    waiter?.reject(this.#failure)
  }

  #take(count: number): Buffer {
    const taken = this.#input.subarray(0, count)
    this.#input = this.#input.subarray(count)
    return taken
  }
}

const tooLong = (): ProbeFailure => new ProbeFailure('protocol', 'the answer is longer than 16 KiB')
