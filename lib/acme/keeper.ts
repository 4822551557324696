/** Keeps certificates from an ACME authority: a file for each, there from the start, replaced when there is a better one. */
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import { type ChallengesView, type Credentials, keyPem, makeKey, NO_CHALLENGES, pem, selfSigned } from '../tls/index.ts'
import { Account, type AccountOptions } from './account.ts'
import type { ChallengeType } from './challenge.ts'
import { AcmeFolder, FRESH, idOf, type Progress, type Wanted } from './folder.ts'
import { obtain } from './order.ts'
import { AcmeFailure } from './problem.ts'
import { afterRestart, isTemporary, renewAt, retryIn, TEMPORARY } from './schedule.ts'
import { AcmeServer } from './server.ts'

const MOST_ORDERS = 3 // at once
const TEMPORARY_MS = 90 * 86_400_000

export interface KeeperOptions extends AccountOptions {
  /** URL of the authority's directory. */
  readonly directory: string
  /** PEM text; undefined: those of the runtime. */
  readonly ca: string | undefined
  readonly challenge: ChallengeType
  /** Where all is kept. */
  readonly folder: string
  /** How we call ourselves. */
  readonly agent: string
  readonly clock: Clock
  readonly log: Logger
  /** Resolves when every data thread answers with this. */
  readonly show: (view: ChallengesView) => Promise<void>
}

/** How a certificate is doing. Times are wall-clock milliseconds. */
export interface AcmeStatus {
  /** Host of the authority. */
  readonly directory: string
  /** Clients are shown one that nobody has signed. */
  readonly temporary: boolean
  readonly ordering: boolean
  /** When it is ordered anew, after a failure when that is tried again. */
  readonly nextAt: number
  readonly failures: number
  /** Of the last try; '': it succeeded, or there was none. */
  readonly error: string
}

interface Row {
  readonly id: string
  readonly wanted: Wanted
  credentials: Credentials
  progress: Progress
  /** When it is to be renewed. */
  renewAt: number
  ordering: boolean
}

export class AcmeKeeper {
  readonly #options: KeeperOptions
  readonly #folder: AcmeFolder
  readonly #server: AcmeServer
  readonly #account: Account
  readonly #rows = new Map<string, Row>()
  /** Beginning, by id: two services may want the same. */
  readonly #beginning = new Map<string, Promise<Row>>()
  /** What was on disk when it was first asked for; null: it was not. */
  #found: Promise<Credentials[]> | null = null
  readonly #shown = new Map<string, ChallengesView>()
  readonly #ending = new AbortController()
  #orders = 0
  /** Since the start. */
  readonly counts = { issued: 0, failed: 0 }

  constructor(options: KeeperOptions) {
    const { directory, ca, agent } = options
    this.#options = options
    this.#folder = new AcmeFolder(options.folder, directory)
    this.#server = new AcmeServer({ directory, ca, agent, signal: this.#ending.signal })
    this.#account = new Account(this.#server, this.#folder, options)
  }

  /** The folder of its authority. */
  get path(): string {
    return this.#folder.path
  }

  /** What the data threads answer at present. */
  get challenges(): ChallengesView {
    if (this.#shown.size === 0) return NO_CHALLENGES
    const views = [...this.#shown.values()]
    return { http: views.flatMap(({ http }) => http), alpn: views.flatMap(({ alpn }) => alpn) }
  }

  /**
   * The file with certificate and key, which can be served from now on: the one of the authority, else one that has some of the
   * names, else a temporary one that nobody has signed.
   * @throws BalancerError TLS_CERTIFICATE when the folder can't be used
   */
  async ensure(wanted: Wanted): Promise<string> {
    const id = idOf(wanted)
    let row = this.#beginning.get(id)
    if (row === undefined) {
      row = this.#begin(id, wanted).catch((error: unknown) => {
        const what = `the certificate for ${wanted.names.join(', ')} can't be kept in ${this.path}`
        const hint = 'make the folder writable, or name another one (appliance.acme.folder)'
        throw new BalancerError('TLS_CERTIFICATE', `${what}: ${messageOf(error)}; ${hint}`, { cause: error })
      })
      this.#beginning.set(id, row)
      row.catch(() => this.#beginning.delete(id))
    }
    await row
    return this.#folder.certificatePath(id)
  }

  /** null: it is none of ours. */
  statusOf(path: string): AcmeStatus | null {
    const row = dirname(path) === this.path ? this.#rows.get(basename(path, '.pem')) : undefined
    if (row === undefined) return null
    const { credentials, ordering, progress } = row
    const { failures, error } = progress
    const { hostname: directory } = new URL(this.#options.directory)
    return { directory, temporary: isTemporary(credentials), ordering, nextAt: dueAt(row), failures, error }
  }

  /** Begins to order what is due, and waits for none of it. */
  look(wanted: Iterable<Wanted>): void {
    const now = this.#options.clock.wall()
    for (const each of wanted) {
      if (this.#orders >= MOST_ORDERS || this.#ending.signal.aborted) return
      const row = this.#rows.get(idOf(each))
      if (row === undefined || row.ordering || dueAt(row) > now || this.#busy(row)) continue
      void this.#order(row)
    }
  }

  /** One of its names is being proved: of two proofs at once the data threads would show one. */
  #busy({ wanted }: Row): boolean {
    for (const other of this.#rows.values())
      if (other.ordering && other.wanted.names.some((name) => wanted.names.includes(name))) return true
    return false
  }

  stop(): void {
    this.#ending.abort()
  }

  async #begin(id: string, wanted: Wanted): Promise<Row> {
    const { clock, log } = this.#options
    let credentials = await this.#folder.certificate(id)
    if (credentials === null) {
      const other = await this.#standIn(wanted)
      const [chain, key] = other === null ? await temporary(wanted) : [other.cert, other.key]
      credentials = await this.#folder.keepCertificate(id, chain, key)
    }
    if (isTemporary(credentials))
      log.warn(
        `${wanted.names.join(', ')}: clients are shown a temporary certificate, which they don't trust, until there is one`,
      )
    const kept = await this.#folder.progress(id)
    const progress = { ...kept, tryAt: afterRestart(kept.tryAt, clock.wall(), kept.limited) }
    const row = {
      id,
      wanted,
      credentials,
      progress,
      renewAt: renewAt(credentials, wanted, Math.random()),
      ordering: false,
    }
    this.#rows.set(id, row)
    return row
  }

  /** Names were added or taken away: one with most of them is better than one that nobody has signed. */
  async #standIn({ names }: Wanted): Promise<Credentials | null> {
    const now = this.#options.clock.wall()
    const shared = (each: Credentials): number => names.filter((name) => each.names.includes(name)).length
    this.#found ??= this.#folder.certificates()
    const all = [...(await this.#found), ...[...this.#rows.values()].map(({ credentials }) => credentials)]
    const fit = all.filter((each) => !isTemporary(each) && each.notAfter > now && shared(each) > 0)
    return fit.sort((a, b) => shared(b) - shared(a) || b.notAfter - a.notAfter)[0] ?? null
  }

  async #order(row: Row): Promise<void> {
    const { clock, log, challenge } = this.#options
    const { id, wanted } = row
    const { signal } = this.#ending
    const names = wanted.names.join(', ')
    row.ordering = true
    this.#orders++
    try {
      log.info(`${names}: a certificate is ordered from ${new URL(this.#options.directory).hostname}`)
      const { chain, key } = await obtain(wanted, row.progress.order, {
        server: this.#server,
        account: this.#account,
        challenge,
        now: () => clock.wall(),
        wait: (ms) => sleep(ms, undefined, { signal }),
        keep: (order) => this.#keep(row, { ...row.progress, order }),
        show: (view) => this.#show(id, view),
      })
      row.credentials = await this.#folder.keepCertificate(id, chain, key)
      row.renewAt = renewAt(row.credentials, wanted, Math.random())
      await this.#keep(row, FRESH)
      this.counts.issued++
      const { issuer, notAfter } = row.credentials
      log.info(`${names}: there is a certificate by ${issuer}, until ${iso(notAfter)}, renewed at ${iso(row.renewAt)}`)
    } catch (error) {
      if (!signal.aborted) await this.#failed(row, error)
    } finally {
      row.ordering = false
      this.#orders--
    }
  }

  async #failed(row: Row, error: unknown): Promise<void> {
    const { clock, log } = this.#options
    const asked = error instanceof AcmeFailure ? error.retryAfterMs : 0
    const failures = row.progress.failures + 1
    const tryAt = Math.ceil(clock.wall() + retryIn(failures, asked, Math.random()))
    this.counts.failed++
    log.warn(`${row.wanted.names.join(', ')}: no certificate: ${messageOf(error)}; tried again at ${iso(tryAt)}`)
    const progress = { order: row.progress.order, failures, tryAt, limited: asked > 0, error: messageOf(error) }
    await this.#keep(row, progress).catch((problem: unknown) => {
      row.progress = progress
      log.error(`what is known of ${row.id} can't be kept: ${messageOf(problem)}`)
    })
  }

  async #keep(row: Row, progress: Progress): Promise<void> {
    await this.#folder.keepProgress(row.id, progress)
    row.progress = progress
  }

  #show(id: string, view: ChallengesView | null): Promise<void> {
    if (view === null) this.#shown.delete(id)
    else this.#shown.set(id, view)
    return this.#options.show(this.challenges)
  }
}

const dueAt = ({ renewAt, progress }: Row): number => Math.max(renewAt, progress.tryAt)
const iso = (at: number): string => new Date(at).toISOString()

async function temporary({ names, keyType }: Wanted): Promise<[chain: string, key: string]> {
  const key = await makeKey(keyType)
  const cert = selfSigned({ key, hosts: names, commonName: TEMPORARY, lifeMs: TEMPORARY_MS })
  return [pem('CERTIFICATE', cert), keyPem(key)]
}
