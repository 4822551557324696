/** Joins two wires: bytes both ways with backpressure, half-close and an idle limit. */
import type { StreamWatch } from '../../affinity/index.ts'
import { Deadline, type DeadlineOwner, type DeadlineWheel, FAULT } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Wire, WireSink } from '../wire.ts'

/** How a relay ended. `by` is who ended it; `` for both sides' normal end. */
export interface RelayEnd {
  readonly by: 'client' | 'backend' | 'us' | ''
  readonly reason: 'client-closed' | 'backend-closed' | 'client-timeout' | 'cut' | 'internal' | ''
}

const FULL_READ = 64 * 1024 // a read that fills the shared buffer: more is waiting, so larger reads pay

/** One direction's reader: hands what its wire reads to the other wire. */
class Half implements WireSink {
  readonly wire: Wire
  readonly #relay: Relay
  other: Half | null = null
  /** Sees what is read, as long as it wants to; null: nobody. */
  watch: StreamWatch | null = null
  bytes = 0
  ended = false
  /** Our write of what it read is pending: it does not read. */
  #blocked = false
  #bulk = false

  constructor(wire: Wire, relay: Relay) {
    this.wire = wire
    this.#relay = relay
  }

  onBytes(bytes: Buffer, length: number): void {
    this.bytes += length
    this.#relay.touch()
    if (this.watch !== null && !this.watch.push(bytes, length)) this.watch = null
    const to = (this.other as Half).wire
    const flowed = this.wire.owned ? to.writeOwned(bytes, 0, length) : to.write(bytes, 0, length)
    if (!this.#bulk && length >= FULL_READ) {
      this.#bulk = true
      this.wire.bulk(true, false)
    } else if (this.#bulk && length < FULL_READ / 4) {
      this.#bulk = false
      this.wire.bulk(false, !to.borrowing)
    }
    if (flowed) return
    this.#blocked = true
    this.wire.pause()
  }

  start(): void {
    if (!this.#blocked && !this.ended) this.wire.resume()
  }

  onEnd(): void {
    this.ended = true
    ;(this.other as Half).wire.end()
    if ((this.other as Half).ended) this.#relay.end('', '')
  }

  /** What the other side read is written: it may read on. */
  onDrain(): void {
    this.#relay.touch()
    const reader = this.other as Half
    reader.unblock()
    if (this.ended && reader.ended) this.#relay.end('', '')
  }

  unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    if (!this.ended) this.wire.resume()
  }

  onClose(code: string): void {
    if (code === FAULT) this.#relay.end('us', 'internal')
    else this.#relay.broken(this)
  }
}

export class Relay implements DeadlineOwner {
  readonly #client: Half
  readonly #backend: Half
  readonly #idleMs: number
  readonly #deadline: Deadline
  readonly #done: (end: RelayEnd) => void
  #over = false

  /** Takes over both wires; `done` is called once, with both closed. */
  constructor(client: Wire, backend: Wire, wheel: DeadlineWheel, idleMs: number, done: (end: RelayEnd) => void) {
    this.#client = new Half(client, this)
    this.#backend = new Half(backend, this)
    this.#client.other = this.#backend
    this.#backend.other = this.#client
    this.#idleMs = idleMs
    this.#done = done
    this.#deadline = new Deadline(wheel, this)
    client.sink = this.#client
    backend.sink = this.#backend
  }

  /** Lets somebody see what the backend sends. Before `start`. */
  watchBackend(watch: StreamWatch): void {
    this.#backend.watch = watch
  }

  /** Bytes of either side that were read before the relay took over. Before `start`. */
  inject(fromClient: Buffer, fromBackend: Buffer): void {
    if (fromClient.length > 0) this.#client.onBytes(fromClient, fromClient.length)
    if (fromBackend.length > 0) this.#backend.onBytes(fromBackend, fromBackend.length)
  }

  /** The client's end was read before the relay took over, behind what was injected. Before `start`. */
  injectEnd(): void {
    this.#client.onEnd()
  }

  /** Starts reading both. */
  start(): void {
    this.touch()
    this.#client.start()
    if (!this.#over) this.#backend.start()
  }

  /** Bytes from the client, and from the backend. */
  get received(): number {
    return this.#client.bytes
  }
  get sent(): number {
    return this.#backend.bytes
  }

  touch(): void {
    this.#deadline.set(this.#idleMs)
  }

  onDeadline(): void {
    this.end('us', 'client-timeout')
  }
  onThrown(error: unknown): void {
    breakWire(this.#client.wire, error)
  }

  cut(): void {
    this.end('us', 'cut')
  }

  broken(half: Half): void {
    if (half === this.#client) this.end('client', 'client-closed')
    else this.end('backend', 'backend-closed')
  }

  end(by: RelayEnd['by'], reason: RelayEnd['reason']): void {
    if (this.#over) return
    const client = this.#client.wire
    const backend = this.#backend.wire
    if (reason === '' && (client.pending || backend.pending)) return // the last bytes are on their way: onDrain asks again
    this.#over = true
    this.#deadline.release()
    // A break is passed on as the reset that it is.
    for (const wire of [client, backend]) {
      if (reason === '') wire.destroy()
      else wire.reset()
    }
    this.#done({ by, reason })
  }
}
