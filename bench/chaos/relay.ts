/** A TCP relay that spoils what flows through it, on purpose: late, by the drop, cut in several ways, or not at all. */
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

/** What is spoilt: what the far side says, what the near side says, or both alike. */
export type Direction = 'answers' | 'requests' | 'both'

/** What happens to the bytes of a direction; without one, to answers. */
export type Spoiling = { readonly of?: Direction } & (
  | { readonly mode: 'pass' }
  /** Every piece comes `ms` later. */
  | { readonly mode: 'delay'; readonly ms: number }
  /** `bytes` at a time, every 20 ms. */
  | { readonly mode: 'trickle'; readonly bytes: number }
  /** Nothing is read until it ends; then all of it comes. */
  | { readonly mode: 'stall' }
  /** After so many bytes: a reset of both sides; an end to the one that they go to, whose own go on; an end to both. */
  | { readonly mode: 'reset' | 'half-close' | 'truncate'; readonly after: number }
  /** Nothing comes through in either direction, and new connections lead nowhere. They are reset when it ends. */
  | { readonly mode: 'black-hole' }
)

type Cut = 'reset' | 'half-close' | 'truncate'

const PASS: Spoiling = { mode: 'pass' }
const DROP_MS = 20
const QUEUE_BYTES = 1024 * 1024 // bytes under delay; beyond, their side waits

/** One direction of a connection. */
class Way {
  readonly #from: Socket
  readonly #to: Socket
  readonly #onCut: (mode: Cut) => void
  #spoiling: Spoiling = PASS
  /** Bytes since the spoiling began. */
  #passed = 0
  #queue: Buffer[] = []
  #queued = 0
  #ended = false
  #timer: NodeJS.Timeout | undefined

  /** `onCut` is told when so many bytes have gone through that it is cut. */
  constructor(from: Socket, to: Socket, onCut: (mode: Cut) => void) {
    this.#from = from
    this.#to = to
    this.#onCut = onCut
    from.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    from.on('end', () => {
      this.#ended = true
      this.#end()
    })
    to.on('drain', () => this.#resume())
  }

  spoil(spoiling: Spoiling): void {
    this.#spoiling = spoiling
    this.#passed = 0
    if (spoiling.mode === 'stall') this.#from.pause()
    else if (spoiling.mode !== 'delay' && spoiling.mode !== 'trickle') this.#flush()
    else this.#resume()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  get #lost(): boolean {
    return this.#spoiling.mode === 'black-hole'
  }

  #onBytes(bytes: Buffer): void {
    const spoiling = this.#spoiling
    switch (spoiling.mode) {
      case 'pass':
      case 'stall': // what had been read before
        return this.#pass(bytes)
      case 'black-hole':
        return
      case 'delay':
      case 'trickle':
        return this.#hold(bytes)
      default: {
        const left = spoiling.after - this.#passed
        this.#passed += bytes.length
        if (bytes.length < left) return this.#pass(bytes)
        if (left > 0) this.#to.write(bytes.subarray(0, left), () => this.#onCut(spoiling.mode))
        else this.#onCut(spoiling.mode)
      }
    }
  }

  #pass(bytes: Buffer): void {
    if (this.#queued > 0) this.#hold(bytes)
    else if (this.#to.writable && !this.#to.write(bytes)) this.#from.pause()
  }

  #hold(bytes: Buffer): void {
    this.#queue.push(bytes)
    this.#queued += bytes.length
    if (this.#queued > QUEUE_BYTES) this.#from.pause()
    this.#timer ??= setTimeout(() => this.#release(), this.#pauseMs())
  }

  #pauseMs(): number {
    return this.#spoiling.mode === 'delay' ? this.#spoiling.ms : DROP_MS
  }

  #release(): void {
    this.#timer = undefined
    const spoiling = this.#spoiling
    if (spoiling.mode !== 'trickle') return this.#flush()
    const [first] = this.#queue
    if (first === undefined) return
    const piece = first.subarray(0, spoiling.bytes)
    if (piece.length === first.length) this.#queue.shift()
    else this.#queue[0] = first.subarray(spoiling.bytes)
    this.#queued -= piece.length
    if (this.#to.writable) this.#to.write(piece)
    if (this.#queued > 0) this.#timer = setTimeout(() => this.#release(), DROP_MS)
    else this.#rested()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const all = Buffer.concat(this.#queue)
    this.#queue = []
    this.#queued = 0
    if (all.length > 0 && this.#to.writable && !this.#lost) this.#to.write(all)
    this.#rested()
  }

  #rested(): void {
    this.#resume()
    this.#end()
  }

  #resume(): void {
    if (this.#spoiling.mode !== 'stall') this.#from.resume()
  }

  #end(): void {
    if (this.#ended && this.#queued === 0 && !this.#lost) this.#to.end()
  }
}

/** One connection and the one that it goes on by. */
class Joint {
  readonly #near: Socket
  readonly #far: Socket
  readonly #answers: Way
  readonly #requests: Way
  readonly #over: (joint: Joint) => void
  #lost = false

  constructor(near: Socket, far: Socket, spoiling: Spoiling, over: (joint: Joint) => void) {
    this.#near = near
    this.#far = far
    this.#over = over
    this.#answers = new Way(far, near, (mode) => this.#cut(mode, far, near))
    this.#requests = new Way(near, far, (mode) => this.#cut(mode, near, far))
    this.spoil(spoiling)
    // A reset on one side is one on the other; so is a far side that was never there.
    near.on('error', () => this.reset())
    far.on('error', () => this.reset())
    near.on('close', () => this.#close())
    far.on('close', () => this.#close())
  }

  spoil(spoiling: Spoiling): void {
    if (this.#lost) return this.reset() // what was swallowed can't be had again
    this.#lost = spoiling.mode === 'black-hole'
    const { of = 'answers' } = spoiling
    this.#answers.spoil(this.#lost || of !== 'requests' ? spoiling : PASS)
    this.#requests.spoil(this.#lost || of !== 'answers' ? spoiling : PASS)
  }

  reset(): void {
    this.#near.resetAndDestroy()
    this.#far.resetAndDestroy()
  }

  #cut(mode: Cut, from: Socket, to: Socket): void {
    if (mode === 'reset') return this.reset()
    to.end()
    if (mode === 'truncate') from.end()
  }

  #close(): void {
    if (!this.#near.destroyed || !this.#far.destroyed) return
    this.#answers.close()
    this.#requests.close()
    this.#over(this)
  }
}

export class ChaosRelay {
  readonly port: number
  readonly #server: Server
  readonly #joints = new Set<Joint>()
  #spoiling: Spoiling = PASS

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  /** Listens on `port` (0: any) of a host and goes on to `to` there. */
  static async start(host: string, port: number, to: number): Promise<ChaosRelay> {
    let join = (near: Socket): void => void near.destroy()
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => join(near))
    server.listen(port, host)
    await once(server, 'listening')
    const relay = new ChaosRelay(server, (server.address() as AddressInfo).port)
    join = (near) => relay.#join(near, host, to)
    return relay
  }

  #join(near: Socket, host: string, port: number): void {
    const far = dial({ port, host, allowHalfOpen: true, noDelay: true })
    this.#joints.add(new Joint(near, far, this.#spoiling, (joint) => this.#joints.delete(joint)))
  }

  /** From now on, for connections that there are and that come. */
  spoil(spoiling: Spoiling): void {
    this.#spoiling = spoiling
    for (const joint of this.#joints) joint.spoil(spoiling)
  }

  get connections(): number {
    return this.#joints.size
  }

  close(): void {
    this.#server.close()
    for (const joint of this.#joints) joint.reset()
  }
}
