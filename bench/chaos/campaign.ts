/** Runs clients against a balancer while a schedule of faults goes on, and tells what nothing explains. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../lib/core/index.ts'
import { readMemory } from '../cpu.ts'
import { quantile } from '../stats.ts'
import { type Mix, startClients } from './clients.ts'
import type { Balance } from './configuration.ts'
import { deedOf } from './deeds.ts'
import { Hand } from './hand.ts'
import { Journal } from './journal.ts'
import type { Tally, Verdict } from './ledger.ts'
import { checksOf, descriptorsOf } from './rest.ts'
import type { Blow } from './schedule.ts'
import { Stage } from './stage.ts'

const REST_MS = 20_000 // until all is as before, once the clients have gone
const CLIENTS_MS = 30_000 // until the last of them has seen the end of what it had begun
const VERDICT_MS = 60_000
const WATCH_MS = 1000
const WARM_S = 60 // then the memory is what it should be at the end
const MOST_MEMORY = 1.1

export interface Campaign {
  readonly seed: number
  readonly seconds: number
  readonly blows: readonly Blow[]
  readonly backends: readonly string[]
  readonly balance?: Balance
  /** One process of clients each. */
  readonly mixes: readonly Mix[]
  /** Of the requests that may not be sent again, so many may fail for each fault. Absent: all that a fault explains. */
  readonly mostLost?: number
  readonly note: (line: string) => void
  /** Keeps the journals, and says where, if something was wrong. */
  readonly keep: boolean
}

export interface Report {
  /** Sentences about what must not be. */
  readonly problems: readonly string[]
  readonly flows: Readonly<Record<string, Tally>>
  readonly repeated: number
  /** Requests that may not be sent again, and failed. */
  readonly lost: number
  /** Faults that were done, by kind. */
  readonly blows: Readonly<Record<string, number>>
  /** Kinds that could not be done here, and why. */
  readonly left: readonly string[]
  readonly seconds: number
  /** Bytes of memory of the balancer: after the first minute, and at the end. Absent: it did not run for long enough, or ended in between. */
  readonly memory?: readonly [number, number]
  /** The same at the end of each minute. */
  readonly minutes: readonly number[]
}

export async function run(campaign: Campaign, signal: AbortSignal): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-chaos-'))
  const { note, backends, balance } = campaign
  let bad = true
  try {
    const stage = await Stage.start({ folder, backends, ...(balance === undefined ? {} : { balance }) })
    try {
      const report = await new Run(campaign, stage, signal).go()
      bad = report.problems.length > 0
      return report
    } finally {
      await stage.close()
    }
  } finally {
    if (bad && campaign.keep) note(`the journals are in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  }
}

class Run {
  readonly #campaign: Campaign
  readonly #stage: Stage
  readonly #signal: AbortSignal
  readonly #journal: Journal
  readonly #problems: string[] = []
  readonly #done: Record<string, number> = {}
  readonly #left = new Set<string>()
  readonly #hands: Hand[] = []
  /** Bytes that the balancer had, by the second. */
  readonly #memory: number[] = []

  #undo: () => void = () => undefined

  constructor(campaign: Campaign, stage: Stage, signal: AbortSignal) {
    this.#campaign = campaign
    this.#stage = stage
    this.#signal = signal
    this.#journal = new Journal(join(stage.journals, 'faults'))
  }

  async go(): Promise<Report> {
    try {
      const recorder = await Hand.start('the recorder', './recorder-process.ts', [this.#stage.journals])
      this.#hands.push(recorder)
      const before = descriptorsOf(this.#stage)
      const clients = await startClients(this.#stage, this.#campaign, this.#hands)
      const begun = performance.now()
      const watch = setInterval(() => this.#watch(), WATCH_MS)
      this.#undo = () => clearInterval(watch)
      await Promise.all(this.#campaign.blows.map((blow) => this.#strike(blow, begun)))
      await this.#until(begun + this.#campaign.seconds * 1000)
      for (const each of clients) each.tell({ over: true })
      for (const each of clients) await this.#expect(() => each.exited(CLIENTS_MS))
      const seconds = (performance.now() - begun) / 1000
      const memory = this.#compareMemory()
      await this.#afterwards(before)
      const verdict = await recorder.ask<Verdict>({ verdict: true }, VERDICT_MS)
      const more = verdict.violationCount - verdict.violations.length
      const rest = more > 0 ? [`and ${more} more`] : []
      this.#compareLost(verdict.lost)
      return {
        problems: [...this.#problems, ...verdict.violations, ...rest],
        flows: verdict.flows,
        repeated: verdict.repeated,
        lost: verdict.lost,
        blows: this.#done,
        left: [...this.#left],
        seconds,
        ...(memory === undefined ? {} : { memory }),
        minutes: this.#minutes(),
      }
    } finally {
      this.#undo()
      for (const hand of this.#hands) await hand.kill()
      this.#journal.close()
    }
  }

  #watch(): void {
    if (this.#stage.running) this.#memory.push(readMemory(this.#stage.balancer.pid))
    this.#stage.trimLog()
  }

  /** A median over ten seconds each: a collection of garbage comes when it comes. */
  #compareMemory(): [number, number] | undefined {
    const span = 10
    if (this.#memory.length < 2 * WARM_S || this.#done['process-kill'] || this.#done['process-restart'])
      return undefined
    const [warm, end] = [this.#memory.slice(WARM_S - span, WARM_S), this.#memory.slice(-span)]
    const [before, after] = [quantile(warm, 0.5), quantile(end, 0.5)]
    const told = [before, after].map((bytes) => `${(bytes / 1024 / 1024).toFixed(0)} MiB`).join(', at the end ')
    if (after > before * MOST_MEMORY) this.#problem(`memory after the first minute ${told}`)
    return [before, after]
  }

  #minutes(): number[] {
    const ends = Array.from({ length: Math.floor(this.#memory.length / WARM_S) }, (_, i) => (i + 1) * WARM_S)
    return ends.map((end) => quantile(this.#memory.slice(end - 10, end), 0.5))
  }

  #compareLost(lost: number): void {
    const { mostLost } = this.#campaign
    const faults = Object.values(this.#done).reduce((sum, n) => sum + n, 0)
    if (mostLost !== undefined && lost > mostLost * faults)
      this.#problem(
        `${lost} requests that may not be sent again failed in ${faults} faults, at most ${mostLost} for each may`,
      )
  }

  /** What must hold; a failure is a problem and not the end. */
  async #expect(work: () => Promise<unknown> | unknown): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (this.#signal.aborted) throw error
      this.#problem(messageOf(error))
    }
  }

  #problem(sentence: string): void {
    this.#problems.push(sentence)
    this.#campaign.note(`problem: ${sentence}`)
  }

  async #until(at: number): Promise<void> {
    const wait = at - performance.now()
    if (wait > 0) await delay(wait, undefined, { signal: this.#signal })
  }

  async #strike(blow: Blow, begun: number): Promise<void> {
    const { n, at, kind, target, lasts } = blow
    await this.#until(begun + at)
    const deed = deedOf(kind)
    const missing = deed.missing?.(this.#stage) ?? null
    if (missing !== null) return void this.#left.add(`${kind}: ${missing}`)
    const seconds = (ms: number) => (ms / 1000).toFixed(2)
    this.#campaign.note(`${seconds(at)} s: ${kind} of ${target}${lasts > 0 ? ` for ${seconds(lasts)} s` : ''}`)
    this.#done[kind] = (this.#done[kind] ?? 0) + 1
    this.#journal.write('begin', n, kind, target)
    await this.#expect(() => deed.begin(this.#stage, blow))
    this.#journal.write('struck', n)
    await this.#expect(() => delay(lasts, undefined, { signal: this.#signal })).finally(() =>
      this.#expect(() => deed.end(this.#stage, blow)),
    )
    this.#journal.write('end', n)
  }

  /** The balancer comes to rest, is as it was, and ends in order. */
  async #afterwards(before: number): Promise<void> {
    const stage = this.#stage
    await this.#expect(() => stage.allUp(REST_MS))
    for (const check of checksOf(stage, before, REST_MS)) await this.#expect(check)
    const { balancer } = stage
    await this.#expect(async () => {
      const { code, signal } = await stage.stopBalancer('SIGTERM')
      if (code !== 0)
        throw new Error(`at the end the balancer ended with ${signal ?? code}:\n${balancer.stderr().slice(-2000)}`)
    })
  }
}
