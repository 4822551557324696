/** Starts the balancer as its users do, as a process of its own, and asks it questions. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Teardown } from './backend.ts'
import { ENGINE } from './differences.ts'
import { eventually, within } from './eventually.ts'

const START_MS = 30_000 // on a machine that does ten other things
const ANSWER_MS = 30_000 // the same: whoever asks of a balancer that hangs has a limit of its own
const CLI = fileURLToPath(new URL('../../lib/cli/evenkeel.js', import.meta.url))

export interface BalancerOptions {
  readonly env?: Record<string, string>
  /** Arguments after `run --json <file>`. */
  readonly args?: readonly string[]
  /** Files beside the configuration, by relative name. */
  readonly files?: Record<string, string | Buffer>
  /** Milliseconds for the start. */
  readonly deadline?: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

interface Started {
  readonly admin: string
  readonly listeners: Readonly<Record<string, readonly string[]>>
}

interface Spawned {
  readonly dir: string
  readonly file: string
  readonly accessLog: string
  readonly child: ChildProcess
  readonly exited: Promise<Exit>
  stdout(): string
  stderr(): string
}

interface ServiceLike {
  readonly protocol?: string
  readonly http?: object
}

/** The configuration with the engine that the tests are to run over, where it names none. */
function withEngine(config: object): object {
  if (ENGINE === 'native' || !('virtualServices' in config)) return config
  const services = Object.entries(config.virtualServices as Record<string, ServiceLike>)
  const virtualServices = services.map(([name, service]) => [
    name,
    service.protocol?.startsWith('http') === true ? { ...service, http: { engine: ENGINE, ...service.http } } : service,
  ])
  return { ...config, virtualServices: Object.fromEntries(virtualServices) }
}

/** The configuration as text, with what a test needs where it says nothing about it. */
function configText(config: string | object, accessLog: string): string {
  const unlessGiven = {
    version: 1,
    appliance: { threads: 1 },
    admin: { listen: '127.0.0.1:0' },
    accessLog: { path: accessLog },
  }
  if (typeof config !== 'string') return JSON.stringify({ ...unlessGiven, ...withEngine(config) }, null, 2)
  const missing = Object.entries(unlessGiven).filter(([key]) => !new RegExp(`^${key}:`, 'm').test(config))
  return `${config.trimEnd()}\n${missing.map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join('')}`
}

async function launch(t: Teardown, config: string | object, options: BalancerOptions): Promise<Spawned> {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-test-'))
  const file = join(dir, 'virtual-services.yaml')
  const accessLog = join(dir, 'access.log')
  await writeFile(file, configText(config, accessLog))
  for (const [name, content] of Object.entries(options.files ?? {})) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), content)
  }
  const child = spawn(process.execPath, [CLI, 'run', '--json', file, ...(options.args ?? [])], {
    cwd: dirname(dirname(dirname(CLI))),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  const output = { out: '', err: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.out += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.err += text
  })
  const exited = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit)
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      // Clients of the test that are still there would be waited for; a second signal stops at once.
      await within(exited, 'a stop without waiting', 100).catch(() => undefined)
    }
    await end(child, exited, 'SIGTERM', 3000)
    process.off('exit', killWithUs)
    await rm(dir, { recursive: true, force: true })
  })
  return { dir, file, accessLog, child, exited, stdout: () => output.out, stderr: () => output.err }
}

/** Signals the process and waits for its end; past the deadline it is killed. */
async function end(child: ChildProcess, exited: Promise<Exit>, signal: NodeJS.Signals, deadline: number) {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal)
  try {
    return await within(exited, `the end of the balancer after ${signal}`, deadline)
  } catch {
    child.kill('SIGKILL')
    return exited
  }
}

export class Balancer {
  /** `address:port` of the admin listener. */
  readonly admin: string
  readonly process: ChildProcess
  readonly pid: number
  /** The folder with the configuration and the access log. */
  readonly dir: string
  /** The configuration's path. */
  readonly file: string
  #listeners: Started['listeners']
  #spawned: Spawned

  constructor(spawned: Spawned, started: Started) {
    this.admin = started.admin
    this.process = spawned.child
    this.pid = spawned.child.pid ?? 0
    this.dir = spawned.dir
    this.file = spawned.file
    this.#listeners = started.listeners
    this.#spawned = spawned
  }

  /** All `address:port` that a service listens on. */
  addresses(service: string): readonly string[] {
    const addresses = this.#listeners[service]
    if (addresses === undefined) throw new Error(`no listener of ${service} in ${JSON.stringify(this.#listeners)}`)
    return addresses
  }
  /** The port of a service's first listener. */
  port(service: string): number {
    return Number(this.addresses(service)[0]?.split(':').at(-1))
  }
  async get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://${this.admin}${path}`, { ...init, signal: AbortSignal.timeout(ANSWER_MS) })
  }
  async status(): Promise<Record<string, unknown>> {
    return (await (await this.get('/api/v1/status')).json()) as Record<string, unknown>
  }
  async metrics(): Promise<string> {
    return (await this.get('/metrics')).text()
  }
  /** The access log's lines so far. */
  async accessLog(): Promise<Record<string, unknown>[]> {
    const text = await readFile(this.#spawned.accessLog, 'utf8').catch(() => '')
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  /** Writes another configuration to the same file; reloading is the test's to ask for. */
  async rewrite(config: string | object): Promise<void> {
    await writeFile(this.file, configText(config, this.#spawned.accessLog))
  }
  /** Asks it to stop and waits for the end, at most `deadline` ms. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadline = 10_000): Promise<Exit> {
    return end(this.process, this.#spawned.exited, signal, deadline)
  }
  /** Its end, however it comes. */
  get exited(): Promise<Exit> {
    return this.#spawned.exited
  }
  stdout(): string {
    return this.#spawned.stdout()
  }
  stderr(): string {
    return this.#spawned.stderr()
  }
}

function startedLine(text: string): Started | undefined {
  const end = text.indexOf('\n')
  if (end < 0) return undefined
  const line = JSON.parse(text.slice(0, end)) as { event?: unknown } & Started
  if (line.event !== 'started') throw new Error(`the first line is not the start: ${text.slice(0, end)}`)
  return line
}

/** A running balancer, with everything listening. It is stopped when the test ends. */
export async function startBalancer(
  t: Teardown,
  config: string | object,
  options: BalancerOptions = {},
): Promise<Balancer> {
  const spawned = await launch(t, config, options)
  const started = await eventually(
    'the start of the balancer',
    () => {
      const { exitCode, signalCode } = spawned.child
      if (exitCode !== null || signalCode !== null)
        throw new Error(`the balancer ended with ${exitCode ?? signalCode}:\n${spawned.stderr()}${spawned.stdout()}`)
      return startedLine(spawned.stdout())
    },
    options.deadline ?? START_MS,
  ).catch((error: unknown) => {
    throw new Error(`${error instanceof Error ? error.message : error}\n${spawned.stderr()}`)
  })
  return new Balancer(spawned, started)
}

/** The end of a balancer whose configuration or surroundings do not let it start. */
export async function startBalancerExpectingFailure(
  t: Teardown,
  config: string | object,
  options: BalancerOptions = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const { exited, stdout, stderr } = await launch(t, config, options)
  const exit = await within(exited, () => `a failing start; it said ${stdout()}`, options.deadline ?? START_MS)
  return { ...exit, stdout: stdout(), stderr: stderr() }
}
