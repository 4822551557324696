/** A balancer in front of its backends, some of them behind a relay, and what can be done to each. */
import { randomInt } from 'node:crypto'
import { mkdirSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { makeAuthority, makeLeaf, type Signed } from '../../lib/tls/signing.ts'
import { type Balancer, type Exit, startBalancer } from '../../test/support/balancer.ts'
import { eventually } from '../../test/support/eventually.ts'
import { ACCESS_LOG, type Balance, type Configuration, configurationOf, type Entry, VARIANTS } from './configuration.ts'
import { Disk } from './disk.ts'
import { Hand } from './hand.ts'
import type { LieName } from './lies.ts'
import type { MisbehaviourName } from './misbehaviour.ts'
import { FRONTS, frontOf, RELAYED, SERVICES, type Service } from './plan.ts'
import { backendPorts, newPort, type Ports, servicePorts } from './ports.ts'
import type { Spoiling } from './relay.ts'

const START_MS = 30_000
const UP_MS = 20_000
const EXCHANGE_MS = 15_000 // of certificates: the files are looked at every second, and read once they rest
const ORDER_MS = 20_000 // a reload waits for data threads that are just being replaced
const CERTIFICATES = 3
const MOST_LOG = 1024 * 1024 // of the disk's four
const DAYS = 2

/** One backend: where it listens, and where the balancer goes. */
interface Place {
  readonly ports: Ports
  readonly seen: Ports
  /** The one that runs, or is being started. */
  hand: Promise<Hand>
}

export interface StageOptions {
  readonly folder: string
  /** Names of the plan's backends that take part. */
  readonly backends: readonly string[]
  /** How the services balance; in turn, if not told. */
  readonly balance?: Balance
  /** In the place of the relay before backends there is a liar. */
  readonly lying?: boolean
}

type RelayWay = readonly [name: string, port: number, to: number]

const textOf = (ways: readonly RelayWay[]): string => ways.map((way) => way.join(':')).join(',')
const startRelay = (name: string, host: string, ways: readonly RelayWay[]): Promise<Hand> =>
  Hand.start(name, './relay-process.ts', [host, textOf(ways)])

export class Stage {
  readonly folder: string
  /** Where all processes leave their journals. */
  readonly journals: string
  readonly disk: Disk
  readonly ports: Readonly<Record<Service | 'extra', number>>
  /** Where clients come who go by a relay. */
  readonly fronts: Readonly<Record<Service, number>>
  /** What clients trust. */
  readonly ca: string
  /** Threads that were ended on purpose, of the balancer that runs. */
  ended = 0
  /** Of all backends; nobody else takes their ports while they are down. */
  readonly #host = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`
  readonly #places = new Map<string, Place>()
  readonly #certificates: readonly Signed[]
  #certificate = 0
  /** Of the configuration, which. */
  #variant = 0
  #editing: Promise<void> = Promise.resolve()
  /** Before backends. */
  #relay: Hand | null = null
  /** Before the balancer. */
  #front: Hand | null = null
  readonly #balance: Balance | undefined
  readonly #lying: boolean
  #balancer: Balancer | null = null
  /** Pending while none runs. */
  #ready = Promise.withResolvers<Balancer>()
  #undo: (() => unknown)[] = []

  private constructor(
    { folder, balance, lying = false }: StageOptions,
    ports: Stage['ports'],
    fronts: Stage['fronts'],
    ca: string,
    certificates: readonly Signed[],
  ) {
    this.folder = folder
    this.#balance = balance
    this.#lying = lying
    this.journals = join(folder, 'journals')
    mkdirSync(this.journals)
    this.disk = new Disk(join(folder, 'disk'))
    this.ports = ports
    this.fronts = fronts
    this.ca = ca
    this.#certificates = certificates
  }

  /** With everything running and all backends up. */
  static async start(options: StageOptions): Promise<Stage> {
    const authority = await makeAuthority('evenkeel chaos', DAYS)
    const certificates: Signed[] = []
    for (let i = 0; i < CERTIFICATES; i++)
      certificates.push(await makeLeaf(authority, ['localhost', '127.0.0.1'], DAYS))
    const ports = { ...(await servicePorts()), extra: await newPort() }
    const stage = new Stage(options, ports, await servicePorts(), authority.cert, certificates)
    try {
      await stage.#startBackends(options.backends)
      stage.#front = await startRelay(
        'the relay of the clients',
        '127.0.0.1',
        SERVICES.map((service) => [frontOf(service), stage.fronts[service], ports[service]]),
      )
      stage.#writeCertificate()
      await stage.startBalancer()
      await stage.allUp(UP_MS)
    } catch (error) {
      await stage.close()
      throw error
    }
    return stage
  }

  get running(): boolean {
    return this.#balancer !== null
  }

  get balancer(): Balancer {
    if (this.#balancer === null) throw new Error('the balancer does not run')
    return this.#balancer
  }

  async #startBackends(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const ports = await backendPorts()
      const seen = RELAYED.includes(name) ? await backendPorts() : ports
      this.#places.set(name, { ports, seen, hand: this.#startBackend(name, ports) })
    }
    for (const { hand } of this.#places.values()) await hand
    const behind = [...this.#places].filter(([name]) => RELAYED.includes(name))
    if (behind.length === 0) return
    const ways = behind.flatMap(([name, { ports, seen }]): RelayWay[] => [
      [name, seen.http, ports.http],
      [name, seen.tcp, ports.tcp],
    ])
    this.#relay = await (this.#lying
      ? Hand.start('the liar', './liar-process.ts', [this.#host, join(this.journals, 'liar'), textOf(ways)])
      : startRelay('the relay of the backends', this.#host, ways))
  }

  #startBackend(name: string, { http, tcp }: Ports): Promise<Hand> {
    const args = [name, this.#host, `${http}`, `${tcp}`, join(this.journals, name)]
    return Hand.start(name, './backend-process.ts', args)
  }

  #place(name: string): Place {
    const place = this.#places.get(name)
    if (place === undefined) throw new Error(`no backend ${name}`)
    return place
  }

  /** Where the balancer reaches it. */
  portsOf(backend: string): number[] {
    return Object.values(this.#place(backend).seen)
  }

  async kill(backend: string): Promise<void> {
    const hand = await this.#place(backend).hand
    await hand.kill()
  }

  async revive(backend: string): Promise<void> {
    const place = this.#place(backend)
    place.hand = this.#startBackend(backend, place.ports)
    await place.hand
  }

  async signal(backend: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const { child } = await this.#place(backend).hand
    child.kill(signal)
  }

  async misbehave(backend: string, how: MisbehaviourName | null): Promise<void> {
    const hand = await this.#place(backend).hand
    hand.tell({ misbehaviour: how })
  }

  /** What goes by the relay before a backend, or before a service. */
  spoil(target: string, spoiling: Spoiling): void {
    const relay = FRONTS.includes(target) ? this.#front : this.#relay
    relay?.tell({ name: target, spoiling })
  }

  /** From now on the liar tells this; null: the truth. */
  lie(name: LieName | null): void {
    this.#relay?.tell({ lie: name })
  }

  /** Writes the next of several configurations, each of which differs really, and takes it into force. */
  reload(salt: number): Promise<void> {
    return this.#alone(() => this.#reload(salt))
  }

  async #reload(salt: number): Promise<void> {
    const next = salt % VARIANTS
    this.#variant = next === this.#variant ? (next + 1) % VARIANTS : next
    const balancer = await this.#ready.promise
    await balancer.rewrite(this.#config())
    await this.order('/reload')
  }

  /** Asks for what can't be brought about, and must be told so. */
  reloadInVain(salt: number): Promise<void> {
    return this.#alone(() => this.#reloadInVain(salt))
  }

  /** One at a time has the configuration's file. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#editing = this.#editing.catch(() => undefined).then(work)
    return this.#editing
  }

  async #reloadInVain(salt: number): Promise<void> {
    const balancer = await this.#ready.promise
    const good = this.#config()
    const bad = [
      { protocol: 'tcp', listen: ['127.0.0.1:0'], backends: [], nonsense: true },
      { protocol: 'tcp', listen: [balancer.admin], backends: ['127.0.0.1:1'] }, // which is taken
      {
        protocol: 'tls',
        listen: ['127.0.0.1:0'],
        tls: { certificates: [{ cert: join(this.folder, 'tls.pem'), key: join(this.folder, 'none.key') }] },
        backends: ['127.0.0.1:1'],
      },
    ][salt % 3]
    await balancer.rewrite({ ...good, virtualServices: { ...good.virtualServices, zz: bad } })
    try {
      const answer = await this.#post('/reload')
      if (answer.status !== 422) throw new Error(`${JSON.stringify(bad)} was answered ${answer.status}`)
    } finally {
      await balancer.rewrite(good)
    }
  }

  #config(): Configuration {
    const { folder, disk, ports } = this
    return configurationOf({
      ...{ folder, disk: disk.path, ports, balance: this.#balance, variant: this.#variant },
      backends: { http: this.#entries('http'), tcp: this.#entries('tcp') },
    })
  }

  /** The backends as the balancer is told them. */
  #entries(kind: 'http' | 'tcp'): Entry[] {
    return [...this.#places].map(([name, { seen }]) => ({ name, address: `${this.#host}:${seen[kind]}` }))
  }

  async startBalancer(): Promise<void> {
    const undo = { teardown: (fn: () => unknown) => void this.#undo.push(fn) }
    try {
      this.#balancer = await startBalancer(undo, this.#config(), { deadline: START_MS })
    } catch (error) {
      this.#ready.promise.catch(() => undefined)
      this.#ready.reject(new Error('the balancer does not run', { cause: error }))
      throw error
    }
    this.ended = 0
    this.#ready.resolve(this.#balancer)
  }

  async stopBalancer(signal: 'SIGTERM' | 'SIGKILL'): Promise<Exit> {
    const { balancer } = this
    this.#balancer = null
    this.#ready = Promise.withResolvers()
    const exit = await balancer.stop(signal)
    for (const fn of this.#undo.splice(0)) await fn()
    return exit
  }

  /** Asks the admin API to do something; rejects when it was not done. */
  async order(path: string, body: object = {}): Promise<void> {
    const answer = await this.#post(path, body)
    if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${await answer.text()}`)
  }

  async #post(path: string, body: object = {}): Promise<Response> {
    const headers = { 'content-type': 'application/json' }
    const { admin } = await this.#ready.promise
    const signal = AbortSignal.timeout(ORDER_MS)
    try {
      return await fetch(`http://${admin}/api/v1${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
        signal,
      })
    } catch (error) {
      if ((await this.#ready.promise).admin === admin) throw error
      return this.#post(path, body) // that process was ended meanwhile
    }
  }

  /** The same for a backend in all services. */
  async orderBackend(backend: string, verb: string, body: object = {}): Promise<void> {
    for (const service of SERVICES) await this.order(`/services/${service}/backends/${backend}/${verb}`, body)
  }

  #writeCertificate(): string {
    const next = this.#certificates[this.#certificate++ % CERTIFICATES]
    if (next === undefined) throw new Error('no certificate')
    // Renamed into place, the key first, as those do who renew certificates.
    for (const [name, text] of [
      ['tls.key', next.key],
      ['tls.pem', next.cert],
    ] as const) {
      const path = join(this.folder, name)
      writeFileSync(`${path}.new`, text, { mode: 0o600 })
      renameSync(`${path}.new`, path)
    }
    return next.cert
  }

  /** Ends a data thread, and waits for the one that takes its place. */
  async endThread(thread: string): Promise<void> {
    await this.order(`/threads/${thread}/restart`)
    const balancer = this.#balancer
    this.ended++
    const replaced = async (): Promise<boolean> => {
      const { threads } = (await this.balancer.status()) as { threads: { state: string; restarts: number }[] }
      const restarts = threads.reduce((sum, each) => sum + each.restarts, 0)
      return restarts >= this.ended && threads.every(({ state }) => state === 'running')
    }
    // On a busy machine the whole process may be ended before.
    const gone = (): boolean => this.#balancer !== balancer
    const done = () => gone() || replaced().catch((error) => gone() || Promise.reject(error))
    await eventually('all data threads run again', done, UP_MS)
  }

  /** Puts another certificate into the files, and waits until clients are shown it, or there is a next one. */
  async exchangeCertificate(): Promise<void> {
    const cert = this.#writeCertificate().replaceAll(/\s|-----[A-Z ]+-----/g, '')
    const n = this.#certificate
    for (const service of ['secure', 'tls'] as const)
      await eventually(
        `the new certificate of ${service}`,
        async () => this.#certificate !== n || (await shownAt(this.ports[service], this.ca)) === cert,
        EXCHANGE_MS,
      )
  }

  /** Waits until every service counts every backend up. */
  async allUp(deadline: number): Promise<void> {
    const least = this.#places.size * SERVICES.length
    await eventually(
      'all backends are up',
      async () => {
        const states = [...(await this.balancer.metrics()).matchAll(/^evenkeel_backend_state\{.*state="up"\} (\d)$/gm)]
        return states.length >= least && states.every(([, up]) => up === '1')
      },
      deadline,
    )
  }

  /** Keeps the access log from filling the disk, as logrotate would. */
  trimLog(): void {
    const path = join(this.disk.path, ACCESS_LOG)
    const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 }
    if (size > MOST_LOG) truncateSync(path)
  }

  async close(): Promise<void> {
    if (this.#balancer !== null) await this.stopBalancer('SIGTERM')
    for (const fn of this.#undo.splice(0)) await fn()
    for (const { hand } of this.#places.values())
      await hand.then(
        (running) => running.kill(),
        () => undefined,
      )
    await this.#relay?.kill()
    await this.#front?.kill()
    this.disk.close()
  }
}

/** The certificate that a client is shown, as base64; '': none. */
function shownAt(port: number, ca: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, ca }, () => {
      resolve(socket.getPeerX509Certificate()?.raw.toString('base64') ?? '')
      socket.destroy()
    })
    socket.on('error', () => resolve(''))
  })
}
