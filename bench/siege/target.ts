/** The balancer under siege, with the limits that it has by default, and what is read of it from outside. */
import { readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { memoryOf, readMemory, readTree } from '../cpu.ts'
import { startEvenkeel } from '../peers/evenkeel.ts'
import type { Certificate } from '../peers/index.ts'
import { fetchText } from '../preflight.ts'
import type { Processes, Started } from '../processes.ts'

const SAMPLE_MS = 500
const REST_MS = 6000 // longer than an idle connection to a backend is kept, and than three probes
const SETTLE_MS = 60_000

const configOf = (backends: readonly number[], sink: number, certificate: Certificate): string => `version: 1
appliance: { threads: 1, drain: { timeout: 1s } }
admin: { listen: 127.0.0.1:0 }
accessLog: { path: /dev/null, format: json }
virtualServices:
  web:
    listen: ["127.0.0.1:0"]
    protocol: http
    backends: [${backends.map((port) => `127.0.0.1:${port}`).join(', ')}]
  sink:
    listen: ["127.0.0.1:0"]
    protocol: http
    backends: ["127.0.0.1:${sink}"]
  h2:
    listen: ["127.0.0.1:0"]
    protocol: http
    http: { http2: { cleartext: true } }
    backends: [${backends.map((port) => `127.0.0.1:${port}`).join(', ')}]
  tls:
    listen: ["127.0.0.1:0"]
    protocol: https
    tls: { certificates: [{ cert: "${certificate.cert}", key: "${certificate.key}" }] }
    backends: [${backends.map((port) => `127.0.0.1:${port}`).join(', ')}]
`

export type Service = 'web' | 'sink'

/** What must be after an attack as it was before. */
export interface Vitals {
  readonly descriptors: number
  /** Bytes of resident memory. */
  readonly memory: number
  /** Connections of clients and requests at backends. */
  readonly active: number
  /** Data threads that died. */
  readonly deaths: number
  /** The longest turn of a data thread's event loop in the last minute, ms. */
  readonly turn: number
}

/** The sum of all series of a family. */
export function sumOf(metrics: string, family: string): number {
  let sum = 0
  for (const [, value] of metrics.matchAll(new RegExp(`^${family}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))) sum += Number(value)
  return sum
}

export class Target {
  readonly process: Started
  /** Service in front of the bench's backends. */
  readonly web: string
  /** Service in front of the backend whose port was given. */
  readonly sink: string
  /** Services in front of the bench's backends that speak HTTP/2 in clear text, and TLS. */
  readonly h2: string
  readonly tls: string
  /** Bytes of memory once it rested after a first wave: a runtime keeps some of what it took once. */
  restMemory = 0
  readonly #admin: string
  constructor(process: Started, line: string) {
    const { admin, listeners }: { admin?: string; listeners?: Record<string, string[]> } = JSON.parse(line)
    this.process = process
    this.#admin = admin ?? ''
    this.web = listeners?.['web']?.[0] ?? ''
    this.sink = listeners?.['sink']?.[0] ?? ''
    this.h2 = listeners?.['h2']?.[0] ?? ''
    this.tls = listeners?.['tls']?.[0] ?? ''
  }

  metrics(): Promise<string> {
    return fetchText(this.#admin, '/metrics')
  }

  /** How often a service counted a reason. */
  async errors(service: Service, reason: string): Promise<number> {
    const pattern = new RegExp(
      `^evenkeel_request_errors_total\\{service="${service}",reason="${reason}"\\} (\\d+)$`,
      'm',
    )
    return Number(pattern.exec(await this.metrics())?.[1] ?? 0)
  }

  async vitals(): Promise<Vitals> {
    this.process.assertRunning()
    const metrics = await this.metrics()
    return {
      descriptors: readdirSync(`/proc/${this.process.pid}/fd`).length,
      memory: readMemory(this.process.pid),
      active: sumOf(metrics, 'evenkeel_client_connections_active') + sumOf(metrics, 'evenkeel_backend_active'),
      deaths: sumOf(metrics, 'evenkeel_data_thread_restarts_total'),
      turn: 1000 * sumOf(metrics, 'evenkeel_data_thread_longest_turn_seconds'), // it has one thread
    }
  }

  /** The least of what is seen over some seconds without load. */
  async atRest(signal: AbortSignal): Promise<Vitals> {
    let least = await this.vitals()
    for (let ms = 0; ms < REST_MS; ms += SAMPLE_MS) {
      await delay(SAMPLE_MS, undefined, { signal })
      const now = await this.vitals()
      const descriptors = Math.min(least.descriptors, now.descriptors)
      least = { ...now, descriptors, memory: Math.min(least.memory, now.memory) }
    }
    return least
  }

  /** Waits until descriptors and active counts are back, at most a minute; answers with what there is then. */
  async settled(before: Vitals, signal: AbortSignal): Promise<Vitals> {
    const deadline = performance.now() + SETTLE_MS
    let now = await this.vitals()
    while ((now.descriptors > before.descriptors || now.active > before.active) && performance.now() < deadline) {
      await delay(SAMPLE_MS, undefined, { signal })
      now = await this.vitals()
    }
    const rest = await this.atRest(signal)
    // Probes have descriptors for moments: the least is held against the least.
    return { ...rest, descriptors: Math.min(now.descriptors, rest.descriptors), active: now.active }
  }

  /** Samples the memory until the answer is called, which tells the peak. */
  watchMemory(): () => number {
    const pids = readTree(this.process.pid)
    let peak = memoryOf(pids)
    const timer = setInterval(() => {
      peak = Math.max(peak, memoryOf(pids))
    }, SAMPLE_MS)
    return () => {
      clearInterval(timer)
      return Math.max(peak, memoryOf(pids))
    }
  }
}

export async function startTarget(
  processes: Processes,
  folder: string,
  backends: readonly number[],
  sink: number,
  certificate: Certificate,
  signal: AbortSignal,
): Promise<Target> {
  const config = configOf(backends, sink, certificate)
  const { process, line } = await startEvenkeel({ processes, folder, signal }, config)
  return new Target(process, line)
}
