/** The TLS of all services on the control thread: loads certificates, watches their files, and tells the data threads. */
import { isDeepStrictEqual } from 'node:util'
import type { Config, ServiceConfig } from '../config/index.ts'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import {
  type BackendTlsOptions,
  type BackendTlsView,
  type CertificateFiles,
  CertificateStore,
  type ChallengesView,
  type ClientAuth,
  clientPathsOf,
  Followed,
  followBackendTls,
  loadClientAuth,
  protocolOf,
  SecretKeeper,
  Stapler,
  type TicketSecrets,
  type TlsView,
} from '../tls/index.ts'
import { Hints } from './hints.ts'
import { Orders } from './orders.ts'
import { Rounds } from './rounds.ts'
import type { Threads } from './threads.ts'
import type { Turns } from './turns.ts'

type TlsConfig = NonNullable<ServiceConfig['tls']>

export interface SecurityOptions {
  readonly tickets: Config['appliance']['tickets']
  /** Where OCSP answers are kept. */
  readonly folder: string
  readonly clock: Clock
  readonly log: Logger
  readonly threads: () => Pick<Threads, 'ask'> | null
  readonly turns: Turns
  /** Has connections to the backends of a service made with what its files say by now. */
  readonly renew: (service: string) => Promise<void>
}

export interface SecureService {
  readonly config: TlsConfig
  readonly certificates: CertificateStore
  /** By what clients are verified. */
  readonly client: Followed<ClientAuth | null>
  /** As it is when a data thread starts. */
  readonly view: TlsView
}

/** What connections to the backends of a pool are made with. */
export type BackendFiles = Followed<BackendTlsView>

export class Security {
  readonly orders: Orders
  readonly #options: SecurityOptions
  readonly #services = new Map<string, SecureService>()
  /** What connections to backends are made with, by service. */
  readonly #backends = new Map<string, readonly BackendFiles[]>()
  readonly #secrets: SecretKeeper
  #toldProblem: string | null = null
  #stopped = false
  readonly #stapler: Stapler
  readonly #rounds: Rounds
  readonly #hints: Hints
  /** Files are others than those that hints are of. */
  #astray = false
  /** There are other OCSP answers than the threads have. */
  #stapled = false

  constructor(options: SecurityOptions) {
    this.#options = options
    const { tickets, clock } = options
    const onChange = (): void => {
      this.#stapled = true
    }
    this.#stapler = new Stapler({ folder: options.folder, clock, log: options.log, onChange })
    const show = async (view: ChallengesView): Promise<void> => {
      await options.threads()?.ask({ type: 'challenges', view })
    }
    this.orders = new Orders({ clock, log: options.log, show })
    this.#secrets = new SecretKeeper({ file: tickets.file ?? null, rotateMs: tickets.rotate, clock })
    this.#rounds = new Rounds((hasty) => options.turns.shared(() => this.#look(hasty)))
    this.#hints = new Hints(() => this.#rounds.hint())
  }

  /**
   * @param handed ticket keys of the process before; null: there is none
   * @throws BalancerError TLS_CERTIFICATE for a file with ticket keys that can't be used
   */
  async load(handed: TicketSecrets | null): Promise<void> {
    if (handed !== null) this.#secrets.adopt(handed)
    await this.#secrets.load()
  }

  get tickets(): TicketSecrets {
    return this.#secrets.current
  }

  /**
   * What a service with this configuration needs: what it has, if that is of the same configuration. Nothing is followed
   * until it is adopted.
   * @throws BalancerError TLS_CERTIFICATE, naming the service
   */
  async prepare(name: string, config: TlsConfig): Promise<SecureService> {
    const known = this.#services.get(name)
    if (known !== undefined && isDeepStrictEqual(known.config, config) && !this.orders.moves(config)) return known
    const certificates = await namingService(name, this.#store(config))
    const client = await namingService(
      name,
      Followed.of(clientPathsOf(config), () => loadClientAuth(config)),
    )
    for (const { credentials } of certificates.certificates)
      for (const warning of credentials.warnings) this.#options.log.warn({ service: name }, warning)
    return { certificates, client, config, view: viewOf(name, config, certificates, client, this.#stapler) }
  }

  /** It is in force from now on. null: the service ends no TLS, or is no more. */
  adopt(name: string, service: SecureService | null, backends: readonly BackendFiles[]): void {
    if (service === null) this.#services.delete(name)
    else this.#services.set(name, service)
    if (backends.length === 0) this.#backends.delete(name)
    else this.#backends.set(name, backends)
    this.#astray = true
    this.#rounds.hint()
  }

  async #store({ certificates }: TlsConfig): Promise<CertificateStore> {
    const files: CertificateFiles[] = []
    for (const each of certificates) files.push(await this.orders.filesOf(each))
    return CertificateStore.load(files)
  }

  /** @throws BalancerError TLS_CERTIFICATE, naming the service */
  prepareBackends(name: string, options: BackendTlsOptions): Promise<BackendFiles> {
    return namingService(name, followBackendTls(options))
  }

  viewOf(name: string): TlsView | null {
    return this.#services.get(name)?.view ?? null
  }

  start(): void {
    this.#rounds.start()
    this.#rounds.hint()
  }

  stop(): void {
    this.#stopped = true
    this.#rounds.stop()
    this.#hints.stop()
    this.#stapler.stop()
    this.orders.stop()
  }

  /** Answers whether something is changing. */
  async #look(hasty: boolean): Promise<boolean> {
    await this.#follow()
    await this.#lookAtSecrets()
    this.orders.look([...this.#services.values()].map(({ config }) => config))
    const stapled = this.#stapled
    this.#stapled = false
    let moving = false
    for (const [name, service] of [...this.#services]) {
      const { log, threads } = this.#options
      try {
        const { certificates, client, config } = service
        const found = await certificates.look(hasty)
        for (const { level, message } of found.findings) log[level]({ service: name }, message)
        const trust = await client.look(hasty)
        if (trust === 'failed')
          log.warn({ service: name }, `what clients are verified by stays as it was: ${client.problem}`)
        if (trust === 'read') log.info({ service: name }, 'what clients are verified by is taken up from its files')
        moving ||= found.moving || trust === 'moving'
        if (config.ocspStapling)
          for (const { credentials } of certificates.certificates) await this.#stapler.look(credentials)
        if ((!found.changed && trust !== 'read' && !(stapled && config.ocspStapling)) || this.#stopped) continue
        const tls = viewOf(name, config, certificates, client, this.#stapler)
        this.#services.set(name, { ...service, view: tls })
        await threads()?.ask({ type: 'secure', service: name, tls })
      } catch (error) {
        log.error({ service: name }, `certificates could not be taken up: ${messageOf(error)}`)
      }
    }
    for (const [name, files] of [...this.#backends]) if (await this.#lookAtBackends(name, files, hasty)) moving = true
    this.#astray ||= moving // links may lead elsewhere now
    return moving
  }

  /** Answers whether something is changing. */
  async #lookAtBackends(service: string, backends: readonly BackendFiles[], hasty: boolean): Promise<boolean> {
    const { log, renew } = this.#options
    let [moving, other] = [false, false]
    for (const files of backends) {
      const before = files.value
      const found = await files.look(hasty)
      moving ||= found === 'moving'
      if (found === 'failed') log.warn({ service }, `connections to backends are made as before: ${files.problem}`)
      if (found === 'read') other ||= !isDeepStrictEqual(files.value, before)
    }
    // Not waited for: it comes behind this look.
    if (other && !this.#stopped)
      void renew(service).then(
        () => log.info({ service }, 'new connections to backends are made with what their files say by now'),
        (error: unknown) => log.error({ service }, `files for connections to backends: ${messageOf(error)}`),
      )
    return moving
  }

  /** Has changes of the files in force told of. */
  async #follow(): Promise<void> {
    if (!this.#astray) return
    this.#astray = false
    const paths = [...this.#services.values()].flatMap(({ certificates, client }) => [
      ...certificates.paths,
      ...client.paths,
    ])
    for (const backends of this.#backends.values()) for (const files of backends) paths.push(...files.paths)
    await this.#hints.follow(paths)
  }

  /** Every thread accepts the new secret before any makes tickets with it. */
  async #lookAtSecrets(): Promise<void> {
    const { log, threads } = this.#options
    try {
      const steps = await this.#secrets.look()
      for (const tickets of steps ?? []) await threads()?.ask({ type: 'tickets', tickets })
      const { problem } = this.#secrets
      if (problem !== null && problem !== this.#toldProblem) log.warn(`${problem}; the keys before are kept`)
      this.#toldProblem = problem
    } catch (error) {
      log.error(`ticket keys could not be taken up: ${messageOf(error)}`)
    }
  }
}

function viewOf(
  scope: string,
  config: TlsConfig,
  { certificates }: CertificateStore,
  { value: client }: Followed<ClientAuth | null>,
  stapler: Stapler,
): TlsView {
  const credentials = certificates.map((row) => row.credentials)
  const { strictSni, tickets, ocspStapling } = config
  const staples = credentials.map((each) => (ocspStapling ? stapler.stapleOf(each) : null))
  return { scope, credentials, strictSni, protocol: protocolOf(config), tickets, client, staples }
}

async function namingService<T>(name: string, loading: Promise<T>): Promise<T> {
  try {
    return await loading
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    throw new BalancerError(error.code, `service ${name}: ${error.message}`, { cause: error })
  }
}
