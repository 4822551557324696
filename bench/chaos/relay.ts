/** A TCP relay that spoils what flows through it, on purpose: late, by the drop, cut in several ways, or not at all. */
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

/** What happens to the bytes that come from the far side; the near side's go through, but into a black hole. */
export type Spoiling =
  | { readonly mode: 'pass' }
  /** Every piece comes `ms` later. */
  | { readonly mode: 'delay'; readonly ms: number }
  /** `bytes` at a time, every 20 ms. */
  | { readonly mode: 'trickle'; readonly bytes: number }
  /** After so many bytes: a reset in both directions; an end to the near side alone, whose bytes go on; an end to both. */
  | { readonly mode: 'reset' | 'half-close' | 'truncate'; readonly after: number }
  /** Nothing comes through in either direction, and new connections lead nowhere. They are reset when it ends. */
  | { readonly mode: 'black-hole' }

const PASS: Spoiling = { mode: 'pass' }
const DROP_MS = 20
const QUEUE_BYTES = 1024 * 1024 // bytes under delay; beyond, the far side waits

/** One connection and the one that it goes on by. */
class Joint {
  readonly #near: Socket
  readonly #far: Socket
  readonly #over: (joint: Joint) => void
  #spoiling: Spoiling
  /** Bytes from the far side since the spoiling began. */
  #passed = 0
  #queue: Buffer[] = []
  #queued = 0
  #farEnded = false
  #timer: NodeJS.Timeout | undefined
  #lost = false

  constructor(near: Socket, far: Socket, spoiling: Spoiling, over: (joint: Joint) => void) {
    this.#near = near
    this.#far = far
    this.#spoiling = spoiling
    this.#over = over
    this.#lost = spoiling.mode === 'black-hole'
    near.on('data', (bytes: Buffer) => {
      if (!this.#lost && !far.write(bytes)) near.pause()
    })
    far.on('drain', () => near.resume())
    far.on('data', (bytes: Buffer) => this.#onFar(bytes))
    near.on('drain', () => far.resume())
    near.on('end', () => {
      if (!this.#lost) far.end()
    })
    far.on('end', () => {
      this.#farEnded = true
      this.#endNear()
    })
    // A reset on one side is one on the other; so is a far side that was never there.
    near.on('error', () => this.reset())
    far.on('error', () => this.reset())
    near.on('close', () => this.#close())
    far.on('close', () => this.#close())
  }

  spoil(spoiling: Spoiling): void {
    if (this.#lost) return this.reset() // what was swallowed can't be had again
    this.#spoiling = spoiling
    this.#passed = 0
    this.#lost = spoiling.mode === 'black-hole'
    if (spoiling.mode === 'pass') this.#flush()
  }

  reset(): void {
    this.#near.resetAndDestroy()
    this.#far.resetAndDestroy()
  }

  #onFar(bytes: Buffer): void {
    const spoiling = this.#spoiling
    switch (spoiling.mode) {
      case 'pass':
        return this.#toNear(bytes)
      case 'black-hole':
        return
      case 'delay':
      case 'trickle':
        return this.#hold(bytes)
      default: {
        const left = spoiling.after - this.#passed
        this.#passed += bytes.length
        if (bytes.length < left) return this.#toNear(bytes)
        if (left > 0) this.#near.write(bytes.subarray(0, left), () => this.#cut(spoiling.mode))
        else this.#cut(spoiling.mode)
      }
    }
  }

  #cut(mode: 'reset' | 'half-close' | 'truncate'): void {
    if (mode === 'reset') return this.reset()
    this.#near.end()
    if (mode === 'truncate') this.#far.end()
  }

  #toNear(bytes: Buffer): void {
    if (this.#queued > 0) this.#hold(bytes)
    else if (this.#near.writable && !this.#near.write(bytes)) this.#far.pause()
  }

  #hold(bytes: Buffer): void {
    this.#queue.push(bytes)
    this.#queued += bytes.length
    if (this.#queued > QUEUE_BYTES) this.#far.pause()
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
    if (this.#near.writable) this.#near.write(piece)
    if (this.#queued > 0) this.#timer = setTimeout(() => this.#release(), DROP_MS)
    else this.#rested()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const all = Buffer.concat(this.#queue)
    this.#queue = []
    this.#queued = 0
    if (all.length > 0 && this.#near.writable) this.#near.write(all)
    this.#rested()
  }

  #rested(): void {
    this.#far.resume()
    if (this.#farEnded) this.#endNear()
  }

  #endNear(): void {
    if (this.#queued === 0 && !this.#lost) this.#near.end()
  }

  #close(): void {
    if (!this.#near.destroyed || !this.#far.destroyed) return
    clearTimeout(this.#timer)
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
