/** A wire behind a PROXY header: its far end is the client that the header names. */
import type { Outbox } from '../outbox.ts'
import type { Wire, WireSink } from '../wire.ts'
import type { ProxyHeader } from './header.ts'

/** `wire` as `header` introduces it; `early` was read behind the header and is handed out before anything else. */
export const introduce = (wire: Wire, header: ProxyHeader, early: Buffer): Wire =>
  header.ends === null && header.authority === '' && early.length === 0 ? wire : new IntroducedWire(wire, header, early)

class IntroducedWire implements Wire {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly serverName: string
  readonly clientFields: string
  readonly #wire: Wire
  #early: Buffer | null
  #reading = false

  constructor(wire: Wire, header: ProxyHeader, early: Buffer) {
    const ends = header.ends ?? wire
    this.remoteAddress = ends.remoteAddress
    this.remotePort = ends.remotePort
    this.localAddress = ends.localAddress
    this.localPort = ends.localPort
    this.serverName = wire.serverName === '' ? header.authority : wire.serverName
    this.clientFields = wire.clientFields
    this.#wire = wire
    this.#early = early.length === 0 ? null : early
  }

  get sink(): WireSink {
    return this.#wire.sink
  }
  set sink(sink: WireSink) {
    this.#wire.sink = sink
  }

  get protocol(): string {
    return this.#wire.protocol
  }
  covers(authority: string): boolean {
    return this.#wire.covers(authority)
  }
  get owned(): boolean {
    return this.#wire.owned
  }
  get settled(): boolean {
    return this.#wire.settled
  }
  get pending(): boolean {
    return this.#wire.pending
  }
  get queued(): number {
    return this.#wire.queued
  }
  get borrowing(): boolean {
    return this.#wire.borrowing
  }

  writeText(text: string): boolean {
    return this.#wire.writeText(text)
  }
  writeOut(out: Outbox): boolean {
    return this.#wire.writeOut(out)
  }
  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#wire.write(bytes, start, end)
  }
  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    return this.#wire.writeOwned(bytes, start, end)
  }

  end(): void {
    this.#wire.end()
  }
  pause(): void {
    this.#reading = false
    this.#wire.pause()
  }

  resume(): void {
    this.#reading = true
    const early = this.#early
    if (early !== null) {
      this.#early = null
      this.sink.onBytes(early, early.length)
    }
    if (this.#reading) this.#wire.resume()
  }

  bulk(on: boolean, reusable: boolean): void {
    this.#wire.bulk(on, reusable)
  }
  destroy(): void {
    this.#early = null
    this.#wire.destroy()
  }
  reset(): void {
    this.#early = null
    this.#wire.reset()
  }
}
