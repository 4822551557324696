/** Ejects backends of a pool on which flows fail one after the other, for a while and never too many of them. */
import type { Board } from '../board/index.ts'
import type { OutliersConfig } from '../config/index.ts'
import type { Clock } from '../core/index.ts'
import type { SavedEjection } from './saved.ts'
import type { BackendTracker } from './tracker.ts'

interface Member {
  readonly tracker: BackendTracker
  /** Ejections of late. */
  count: number
  /** Wall-clock ms; 0: it is not ejected. */
  until: number
  /** When the last ejection ended. */
  endedAt: number
  /** Its last probe when it was ejected: only later ones speak for it. */
  probedAt: number
}

export class OutlierWatch {
  readonly #config: OutliersConfig
  readonly #rise: number
  readonly #members: readonly Member[]
  readonly #board: Board
  readonly #clock: Clock

  /** @param rise passes in a row that end an ejection early */
  constructor(config: OutliersConfig, trackers: readonly BackendTracker[], rise: number, board: Board, clock: Clock) {
    this.#config = config
    this.#rise = rise
    this.#board = board
    this.#clock = clock
    this.#members = trackers
      .filter(({ tier }) => tier !== 'sorry')
      .map((tracker) => ({ tracker, count: 0, until: 0, endedAt: 0, probedAt: 0 }))
  }

  /** Takes the ejections of before a restart up again. */
  recallAll(saved: (backend: string) => { readonly ejection?: SavedEjection } | undefined): void {
    for (const { tracker } of this.#members) {
      const ejection = saved(tracker.name)?.ejection
      if (ejection !== undefined) this.recall(tracker.name, ejection)
    }
  }

  /** The same for one backend. */
  recall(backend: string, { count, until }: SavedEjection): void {
    const member = this.#members.find(({ tracker }) => tracker.name === backend)
    const now = this.#clock.wall()
    if (member === undefined || until <= now || until > now + this.#config.maxTime) return
    member.count = count
    member.until = until
    member.tracker.eject(true, `ejected before the restart, for ${seconds(until - now)} more`)
  }

  /** Its members are others' now: what is known of them goes with them. Who stays and has no place there is ejected no longer. */
  handOver(others: readonly OutlierWatch[], stays: readonly BackendTracker[]): void {
    for (const member of this.#members) {
      const { tracker, count, until, endedAt, probedAt } = member
      const heir = others.flatMap((other) => other.#members).find((each) => each.tracker === tracker)
      if (heir !== undefined) Object.assign(heir, { count, until, endedAt, probedAt })
      else if (until > 0 && stays.includes(tracker)) {
        this.#board.forgive(tracker.row)
        tracker.eject(false, 'backends are not ejected any more')
      }
    }
  }

  /** What is to survive a restart, by backend. */
  *saved(): Generator<[backend: string, SavedEjection]> {
    for (const { tracker, count, until } of this.#members) if (until > 0) yield [tracker.name, { count, until }]
  }

  /** Called a few times a second. True: something has changed. */
  tick(): boolean {
    const now = this.#clock.wall()
    let changed = false
    for (const member of this.#members) {
      const { tracker } = member
      if (member.until > 0) {
        const why = this.#endOf(member, now)
        if (why === null) continue
        member.until = 0
        member.endedAt = now
        this.#board.forgive(tracker.row) // what failed meanwhile was begun before
        tracker.eject(false, why)
        changed = true
      } else if (this.#board.failures(tracker.row) >= this.#config.consecutive && this.#mayEject(member)) {
        this.#eject(member, now)
        changed = true
      } else if (member.count > 0 && now - member.endedAt >= this.#config.maxTime) member.count = 0
    }
    return changed
  }

  /** Why the ejection is over; null: it is not. */
  #endOf({ tracker, until, count, probedAt }: Member, now: number): string | null {
    if (now >= until) return 'the time of its ejection is up'
    // Once a backend failed again right after its probes had freed it, they don't see what is wrong with it.
    if (count > 1) return null
    const passes = tracker.lastResults.slice(-this.#rise)
    const passed = passes.length === this.#rise && passes.every(({ ok, at }) => ok && at > probedAt)
    return passed ? 'its probes pass: the ejection ends early' : null
  }

  /** Never more than the share of those that would take flows, and never the last of them. */
  #mayEject({ tracker }: Member): boolean {
    if (tracker.state !== 'up') return false
    const well = this.#members.filter((each) => each.tracker.state === 'up' && each.tracker.weight > 0)
    const ejected = this.#members.filter(({ until }) => until > 0)
    if (!well.some((each) => each.tracker !== tracker)) return false
    return ejected.length + 1 <= Math.floor((well.length + ejected.length) * this.#config.maxEjected)
  }

  #eject(member: Member, now: number): void {
    const { tracker } = member
    const { baseTime, maxTime } = this.#config
    member.count++
    member.probedAt = now
    const ms = Math.min(maxTime, baseTime * member.count)
    member.until = now + ms
    const times = member.count > 1 ? `, ejection ${member.count} of late` : ''
    tracker.eject(
      true,
      `${this.#board.failures(tracker.row)} flows failed in a row: ejected for ${seconds(ms)}${times}`,
    )
  }
}

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)} s`
