/** Counts every request, answer and execution, and tells which of them nothing explains. */
import { type Nature, type Outcome, type Plan, planOf } from './plan.ts'

interface Entry {
  flow: string
  nature: Nature
  sentAt: number
  endedAt: number
  outcome: Outcome | ''
  detail: string
  executions: number
  /** What was wrong about it as soon as it was read. */
  wrongs: string[]
  /** What it was lied to about, on purpose; '': nothing. */
  lie: string
}

interface Period {
  readonly kind: string
  readonly plan: Plan
  readonly target: string
  readonly from: number
  to: number
}

export interface Tally {
  sent: number
  whole: number
  executed: number
  /** Ended otherwise, for a reason that was given them, by outcome. */
  readonly excused: Record<string, number>
}

/** Requests and streams that were lied to on purpose. */
export interface Found {
  told: number
  /** Those of them about which something was found to be wrong. */
  found: number
}

export interface Verdict {
  readonly flows: Readonly<Record<string, Tally>>
  /** Requests that were executed a second time because their first answer was lost; all of them may be. */
  readonly repeated: number
  /** Requests that may not be sent again, and failed. */
  readonly lost: number
  /** Sentences about what must not be, the first hundred. */
  readonly violations: readonly string[]
  readonly violationCount: number
  /** By lie. What is wrong because of it is no violation. */
  readonly lies: Readonly<Record<string, Found>>
}

const MOST_TOLD = 100
const MOST_TRIES = 4 // the first, two further ones that the configuration allows, and one for an idle connection that had died
const FOREVER = Number.POSITIVE_INFINITY

const SEEN_MS = 100 // until everybody has seen what struck at once

/** `h1-post@front-web`: by HTTP/1.1, a POST, through that relay. */
const frontOf = (flow: string): string => flow.split('@')[1] ?? ''
function natureOf(flow: string): Nature {
  const [name = ''] = flow.split('@')
  return name.endsWith('-post') ? 'unsafe' : name.endsWith('-get') ? 'safe' : 'stream'
}

function count(lies: Record<string, Found>, lie: string, found: boolean): void {
  const entry = lies[lie] ?? { told: 0, found: 0 }
  lies[lie] = entry
  entry.told++
  if (found) entry.found++
}

export class Ledger {
  readonly #entries = new Map<string, Entry>()
  readonly #periods = new Map<string, Period>()
  readonly #violations: string[] = []
  #count = 0
  #begun = FOREVER

  /** Takes a line of a journal. */
  take(parts: readonly string[]): void {
    const [kind, time, ...rest] = parts
    const at = Number(time)
    const [first = '', second = '', third = ''] = rest
    this.#begun = Math.min(this.#begun, at)
    if (kind === 'sent') this.#sent(at, first, second)
    else if (kind === 'ended') this.#ended(at, first, second as Outcome, third)
    else if (kind === 'executed') this.#executed(first, second, third)
    else if (kind === 'lied') this.#entry(first).lie = second
    else if (kind === 'begin') this.#begin(first, second, third, at)
    else if (kind === 'struck' || kind === 'end') this.#goOn(first, kind === 'end', at)
    else this.#tell(`a line that nobody understands: ${parts.join(' ')}`)
  }

  #entry(id: string): Entry {
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      entry = {
        flow: '',
        nature: 'safe',
        sentAt: 0,
        endedAt: FOREVER,
        outcome: '',
        detail: '',
        executions: 0,
        wrongs: [],
        lie: '',
      }
      this.#entries.set(id, entry)
    }
    return entry
  }

  #sent(at: number, id: string, flow: string): void {
    const entry = this.#entry(id)
    if (entry.flow !== '') entry.wrongs.push('sent twice by its client')
    entry.flow = flow
    entry.nature = natureOf(flow)
    entry.sentAt = at
  }

  #ended(at: number, id: string, outcome: Outcome, detail: string): void {
    const entry = this.#entry(id)
    if (entry.outcome !== '') entry.wrongs.push(`ended twice: ${entry.outcome}, then ${outcome}`)
    entry.outcome = outcome
    entry.endedAt = at
    entry.detail = detail
  }

  #begin(n: string, kind: string, target: string, from: number): void {
    this.#periods.set(n, { kind, plan: planOf(kind), target, from, to: FOREVER })
  }

  /** It has been done; or it has been taken back. */
  #goOn(n: string, ended: boolean, at: number): void {
    const period = this.#periods.get(n)
    if (period === undefined) return
    const { sudden = false, rest } = period.plan
    if (ended && period.to === FOREVER) period.to = at + rest
    else if (!ended && sudden) period.to = at + SEEN_MS
  }

  #executed(id: string, backend: string, body: string): void {
    const entry = this.#entry(id)
    entry.executions++
    if (body !== 'right') entry.wrongs.push(`reached ${backend} with another body: ${body}`)
  }

  #tell(sentence: string): void {
    this.#count++
    if (this.#violations.length < MOST_TOLD) this.#violations.push(sentence)
  }

  /** The faults that were there while the request was. */
  #during({ sentAt, endedAt, flow }: Entry): Period[] {
    const front = frontOf(flow)
    return [...this.#periods.values()].filter(
      ({ from, to, plan, target }) => from <= endedAt && to >= sentAt && (!plan.clientSide || target === front),
    )
  }

  /** To be asked once, behind the last line. */
  verdict(): Verdict {
    const flows: Record<string, Tally> = {}
    const lies: Record<string, Found> = {}
    let repeated = 0
    let lost = 0
    for (const [id, entry] of this.#entries) {
      if (entry.flow === '') {
        this.#tell(`${id} was executed ${entry.executions} times and never sent`)
        continue
      }
      flows[entry.flow] ??= { sent: 0, whole: 0, executed: 0, excused: {} }
      const tally = flows[entry.flow] as Tally
      tally.sent++
      tally.executed += entry.executions
      if (entry.executions > 1) repeated++
      if (entry.nature === 'unsafe' && entry.outcome !== 'whole') lost++
      const wrong = this.#wrongWith(entry)
      const wrongs = wrong === '' ? entry.wrongs : [...entry.wrongs, wrong]
      if (entry.lie !== '') count(lies, entry.lie, wrongs.length > 0)
      else for (const each of wrongs) this.#tell(`${id} (${entry.flow}, ${this.#when(entry)}): ${each}`)
      if (entry.outcome === 'whole') tally.whole++
      else {
        const how =
          entry.nature === 'unsafe' && entry.executions > 0 ? `${entry.outcome} though executed` : entry.outcome
        tally.excused[how] = (tally.excused[how] ?? 0) + 1
      }
    }
    return { flows, repeated, lost, violations: this.#violations, violationCount: this.#count, lies }
  }

  #when({ sentAt, endedAt }: Entry): string {
    const to = endedAt === FOREVER ? '' : `${((endedAt - this.#begun) / 1000).toFixed(2)}`
    return `${((sentAt - this.#begun) / 1000).toFixed(2)}-${to} s`
  }

  /** What nothing explains; '': nothing. */
  #wrongWith(entry: Entry): string {
    const { nature, executions, detail } = entry
    // The reset that cuts an answer may destroy the part of it that its client had not read yet.
    const outcome = entry.outcome === 'none' && executions > 0 ? 'cut' : entry.outcome
    if (outcome === '') return 'sent, and its client never told its end'
    if (outcome === 'wrong') return `looked whole and was not: ${detail}`
    if (nature === 'unsafe' && executions > 1) return `executed ${executions} times`
    if (executions > MOST_TRIES) return `executed ${executions} times`
    if (outcome === 'unprocessed' && executions > 0) return 'executed, though the client was told that it was not'
    if (outcome === 'whole' && nature !== 'stream' && executions === 0) return 'answered, and never executed'
    const periods = outcome === 'whole' && executions < 2 ? [] : this.#during(entry)
    if (executions > 1 && periods.every(({ plan }) => plan.clientSide || plan.excuses.safe.length === 0))
      return `executed ${executions} times without a fault that would have been a reason`
    if (outcome === 'whole' || periods.some(({ plan }) => plan.excuses[nature].includes(outcome))) return ''
    const present = periods.map(({ kind, target }) => `${kind} of ${target}`).join(', ')
    return `${outcome} ${detail}, which is not explained by ${present || 'anything'}`
  }
}
