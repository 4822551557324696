/** Coarse deadlines: one wheel for all connections of a thread, so that moving a deadline costs a store. */

const TICK_MS = 100 // resolution; every timeout of the product is many times this
const SLOTS = 512 // a turn is 51.2 s; a later deadline is looked at once a turn

/** The tick at which a deadline is told: one more for rounding, one because `now` may lag a tick when it is set. */
const tickOf = (at: number): number => Math.floor(at / TICK_MS) + 2

/** Who is told. One owner may have several deadlines. */
export interface DeadlineOwner {
  onDeadline(deadline: Deadline): void
  /** `onDeadline` threw: tells of it (`fault`) and ends its flow, and nothing else. */
  onThrown(error: unknown): void
}

/** A moment that an owner waits for. Never early, at most two ticks late. */
export class Deadline {
  readonly #wheel: DeadlineWheel
  readonly owner: DeadlineOwner
  /** When it is due on the wheel's clock; 0: off. */
  at = 0
  /** Tick of the slot it is linked in; 0: not linked. */
  tick = 0
  prev: Deadline | null = null
  next: Deadline | null = null

  constructor(wheel: DeadlineWheel, owner: DeadlineOwner) {
    this.#wheel = wheel
    this.owner = owner
  }

  /** Due in `ms` from now, whatever was set before. */
  set(ms: number): void {
    this.at = this.#wheel.now + ms
    this.#wheel.place(this)
  }

  /** Off, but cheap to set again. */
  clear(): void {
    this.at = 0
  }

  /** Off for good: nothing keeps the owner alive any more. */
  release(): void {
    this.at = 0
    this.#wheel.unlink(this)
  }
}

export class DeadlineWheel {
  /** Milliseconds, as of the last tick. */
  now: number
  readonly #slots: (Deadline | null)[] = new Array<Deadline | null>(SLOTS).fill(null)
  readonly #clock: () => number
  #tick: number
  readonly #timer: NodeJS.Timeout

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock
    this.now = clock()
    this.#tick = Math.floor(this.now / TICK_MS)
    this.#timer = setInterval(() => this.turn(), TICK_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Links `deadline` where it is due. One that is linked earlier stays: it is moved on when its slot comes. */
  place(deadline: Deadline): void {
    const tick = Math.min(Math.max(tickOf(deadline.at), this.#tick + 1), this.#tick + SLOTS - 1)
    if (deadline.tick !== 0) {
      if (deadline.tick <= tick) return
      this.unlink(deadline)
    }
    const slot = tick % SLOTS
    const head = this.#slots[slot] ?? null
    deadline.tick = tick
    deadline.next = head
    if (head !== null) head.prev = deadline
    this.#slots[slot] = deadline
  }

  unlink(deadline: Deadline): void {
    if (deadline.tick === 0) return
    if (deadline.prev !== null) deadline.prev.next = deadline.next
    else this.#slots[deadline.tick % SLOTS] = deadline.next
    if (deadline.next !== null) deadline.next.prev = deadline.prev
    deadline.prev = null
    deadline.next = null
    deadline.tick = 0
  }

  /** Runs what is due. Called by the wheel's own timer; a test calls it with its own clock. */
  turn(): void {
    this.now = this.#clock()
    const last = Math.floor(this.now / TICK_MS)
    if (last - this.#tick > SLOTS) this.#tick = last - SLOTS // the thread stood still for a turn: each slot once is enough
    while (this.#tick < last) {
      this.#tick++
      const slot = this.#tick % SLOTS
      // Nothing is ever linked in the slot of the present tick, so it empties whatever the owners set and release.
      for (let deadline = this.#slots[slot] ?? null; deadline !== null; deadline = this.#slots[slot] ?? null) {
        this.unlink(deadline)
        if (deadline.at === 0) continue
        if (tickOf(deadline.at) > this.#tick) this.place(deadline)
        else {
          deadline.at = 0
          this.#tell(deadline)
        }
      }
    }
  }

  #tell(deadline: Deadline): void {
    const { owner } = deadline
    try {
      owner.onDeadline(deadline)
    } catch (error) {
      owner.onThrown(error)
    }
  }
}
