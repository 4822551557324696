/** The certificates that are ordered: for which services, from which authority, and the change to another one. */
import { isDeepStrictEqual } from 'node:util'
import { AcmeKeeper, type AcmeStatus, type Wanted } from '../acme/index.ts'
import type { AcmeConfig, Config, ServiceConfig } from '../config/index.ts'
import type { Clock, Logger } from '../core/index.ts'
import { type CertificateFiles, type ChallengesView, NO_CHALLENGES, readAuthorities } from '../tls/index.ts'

type TlsConfig = NonNullable<ServiceConfig['tls']>
type CertificateConfig = TlsConfig['certificates'][number]

const AGENT = 'evenkeel ACME' // RFC 8555 §6.1 wants one

export interface OrdersOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Resolves when every data thread answers authorities with this. */
  readonly show: (view: ChallengesView) => Promise<void>
}

/** Who orders, and by which configuration; null: nobody does. */
interface Buyer {
  readonly config: AcmeConfig | undefined
  readonly keeper: AcmeKeeper | null
}

const NOBODY: Buyer = { config: undefined, keeper: null }

export class Orders {
  readonly #options: OrdersOptions
  #buyer = NOBODY
  /** In force after a commit; null: nothing is being prepared. */
  #next: Buyer | null = null
  /** What keepers did that are no more. */
  #past = { issued: 0, failed: 0 }

  constructor(options: OrdersOptions) {
    this.#options = options
  }

  /** What authorities are answered at present. */
  get challenges(): ChallengesView {
    return this.#buyer.keeper?.challenges ?? NO_CHALLENGES
  }

  /** How many have ended since the start. */
  get counts(): { readonly issued: number; readonly failed: number } {
    const { issued, failed } = this.#buyer.keeper?.counts ?? NOTHING
    return { issued: this.#past.issued + issued, failed: this.#past.failed + failed }
  }

  /** How a certificate that was ordered is doing; null: it was not. */
  statusOf(file: string): AcmeStatus | null {
    return this.#buyer.keeper?.statusOf(file) ?? null
  }

  /** What `config` needs: nothing of it orders until `commit`. @throws BalancerError TLS_CERTIFICATE */
  async prepare({ appliance, virtualServices }: Config): Promise<void> {
    const { acme: config } = appliance
    if (isDeepStrictEqual(config, this.#buyer.config)) return
    if (config === undefined) {
      this.#next = NOBODY
      return
    }
    const { clock, log, show } = this.#options
    const { directory, challenge, email, eab, folder } = config
    const ca = config.ca === undefined ? undefined : await readAuthorities(config.ca)
    const keeper = new AcmeKeeper({
      ...{ directory, challenge, email, eab, folder, ca, clock, log, agent: AGENT },
      show: () => show(this.challenges), // of the keeper in force, whoever asks
    })
    this.#next = { config, keeper }
    for (const { tls } of Object.values(virtualServices))
      for (const wanted of wantedBy(tls)) await keeper.ensure(wanted)
  }

  /** What was prepared is in force. Orders under way go on where they were. */
  commit(): void {
    const next = this.#next
    if (next === null) return
    this.#past = this.counts
    this.#buyer.keeper?.stop()
    this.#buyer = next
    this.#next = null
  }

  /** What was prepared is not wanted; nothing after a commit. */
  discard(): void {
    this.#next?.keeper?.stop()
    this.#next = null
  }

  /** Its certificates are in other files once the change under way is in force. */
  moves(tls: TlsConfig | undefined): boolean {
    if (this.#next === null) return false
    return [...wantedBy(tls)].length > 0 && this.#next.keeper?.path !== this.#buyer.keeper?.path
  }

  /** Where a certificate is, to be served from now on. */
  async filesOf(certificate: CertificateConfig): Promise<CertificateFiles> {
    const wanted = wantedOf(certificate)
    const { keeper } = this.#next ?? this.#buyer
    // The configuration is checked: who orders has an authority.
    return wanted === null || keeper === null ? certificate : { cert: await keeper.ensure(wanted) }
  }

  /** Begins to order what is due for these services, and waits for none of it. */
  look(services: Iterable<TlsConfig>): void {
    this.#buyer.keeper?.look([...services].flatMap((tls) => [...wantedBy(tls)]))
  }

  stop(): void {
    this.#buyer.keeper?.stop()
  }
}

const NOTHING = { issued: 0, failed: 0 }

/** null: it is in files. */
const wantedOf = ({ acme: names, keyType = 'ec' }: CertificateConfig): Wanted | null =>
  names === undefined ? null : { names, keyType }

function* wantedBy(tls: TlsConfig | undefined): Generator<Wanted> {
  for (const each of tls?.certificates ?? []) {
    const wanted = wantedOf(each)
    if (wanted !== null) yield wanted
  }
}
