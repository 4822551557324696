/**
 * The whole of `/metrics`. prom-client keeps what there is one of: the process, its threads, the build. What there is of
 * each backend is written from the board in pieces: prom-client would stop this thread for a second with 10,000 backends.
 */
import type { Registry } from 'prom-client'
import { type SeriesSource, seriesText } from './series.ts'

/** What is told of the process. */
export interface ProcessSource {
  readonly version: string
  /** Wall-clock milliseconds at which the configuration in force was taken. */
  configuredAt(): number
  /** Configurations that were taken, the one of the start included, and that were not. */
  reloads(): { readonly success: number; readonly failure: number }
  /** One row per data thread. */
  threads(): readonly {
    readonly thread: number
    readonly deaths: Readonly<Record<string, number>>
    readonly faults: number
    readonly serving: boolean
    /** ms. */
    readonly delay: number
    /** ms. */
    readonly turn: number
    /** Bytes that its heap and buffers hold. */
    readonly held: number
  }[]
  /** Errors of the control thread that nobody expected. */
  mishaps(): number
  /** What may be short, and whether it is: then no connections are accepted. */
  overload(): Iterable<readonly [reason: string, short: boolean]>
  /** Orders of certificates since the start. */
  orders(): { readonly issued: number; readonly failed: number }
  /** 0..1 by thread: `control`, `0`, `1`, … */
  utilisation(): Iterable<readonly [thread: string, value: number]>
}

export class Exposition {
  readonly #registry: Registry
  readonly #series: SeriesSource

  private constructor(registry: Registry, series: SeriesSource) {
    this.#registry = registry
    this.#series = series
  }

  static async create(series: SeriesSource, process: ProcessSource): Promise<Exposition> {
    return new Exposition(await processRegistry(process), series)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The text in pieces, each a few hundred lines: between two of them others may run. */
  async *pieces(): AsyncGenerator<string> {
    // prom-client writes a lag of which there was no sample as `Nan`, which is a number only for lenient readers.
    yield (await this.#registry.metrics()).replace(/ Nan$/gm, ' NaN')
    for (const piece of seriesText(this.#series)) yield piece
  }
}

async function processRegistry(source: ProcessSource): Promise<Registry> {
  const { collectDefaultMetrics, Counter, Gauge, Registry } = await import('prom-client') // data threads don't pay for it
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'evenkeel_build_info',
    help: 'Always 1; the labels tell the version and the runtime.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: source.version, node: process.versions.node }, 1)
  new Counter({
    name: 'evenkeel_config_reloads_total',
    help: 'Configurations that were taken or refused; the start counts as one that was taken.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset()
      for (const [result, count] of Object.entries(source.reloads())) this.inc({ result }, count)
    },
  })
  new Gauge({
    name: 'evenkeel_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration in force was taken, seconds since the epoch.',
    registers,
    collect() {
      this.set(source.configuredAt() / 1000)
    },
  })
  new Gauge({
    name: 'evenkeel_data_threads',
    help: 'Data threads.',
    registers,
    collect() {
      this.set(source.threads().length)
    },
  })
  new Counter({
    name: 'evenkeel_data_thread_restarts_total',
    help: 'How often a data thread died and was replaced, by why.',
    labelNames: ['thread', 'cause'],
    registers,
    collect() {
      this.reset()
      for (const { thread, deaths } of source.threads())
        for (const [cause, n] of Object.entries(deaths)) this.inc({ thread, cause }, n)
    },
  })
  new Gauge({
    name: 'evenkeel_data_thread_serving',
    help: '1 while the data thread serves, 0 while it starts, ends or waits to be replaced.',
    labelNames: ['thread'],
    registers,
    collect() {
      for (const { thread, serving } of source.threads()) this.set({ thread }, serving ? 1 : 0)
    },
  })
  new Gauge({
    name: 'evenkeel_data_thread_delay_seconds',
    help: 'By how much the event loop of the data thread was late when it last beat.',
    labelNames: ['thread'],
    registers,
    collect() {
      for (const { thread, delay } of source.threads()) this.set({ thread }, delay / 1000)
    },
  })
  new Gauge({
    name: 'evenkeel_data_thread_longest_turn_seconds',
    help: 'The longest that one turn of the event loop of the data thread took in the last minute.',
    labelNames: ['thread'],
    registers,
    collect() {
      for (const { thread, turn } of source.threads()) this.set({ thread }, turn / 1000)
    },
  })
  new Gauge({
    name: 'evenkeel_data_thread_memory_bytes',
    help: 'What heap and buffers of the data thread held when it was last asked, at most a quarter of a second ago.',
    labelNames: ['thread'],
    registers,
    collect() {
      for (const { thread, held } of source.threads()) this.set({ thread }, held)
    },
  })
  new Counter({
    name: 'evenkeel_uncaught_errors_total',
    help: 'Errors that nobody expected, by what they ended: a flow, a data thread, or nothing (in the control thread).',
    labelNames: ['thread', 'ended'],
    registers,
    collect() {
      this.reset()
      this.inc({ thread: 'control', ended: 'nothing' }, source.mishaps())
      for (const { thread, deaths, faults } of source.threads()) {
        this.inc({ thread, ended: 'flow' }, faults)
        this.inc({ thread, ended: 'thread' }, deaths['error'] ?? 0)
      }
    },
  })
  new Gauge({
    name: 'evenkeel_overload',
    help: '1 while what is new is refused because this runs short, else 0.',
    labelNames: ['reason'],
    registers,
    collect() {
      for (const [reason, short] of source.overload()) this.set({ reason }, short ? 1 : 0)
    },
  })
  new Counter({
    name: 'evenkeel_acme_orders_total',
    help: 'Orders of certificates by how they ended.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset()
      const { issued, failed } = source.orders()
      this.inc({ result: 'issued' }, issued)
      this.inc({ result: 'failed' }, failed)
    },
  })
  new Gauge({
    name: 'evenkeel_thread_utilisation',
    help: 'How busy the event loop of a thread was of late, 0 to 1.',
    labelNames: ['thread'],
    registers,
    collect() {
      for (const [thread, value] of source.utilisation()) this.set({ thread }, value)
    },
  })
  return registry
}
