/** What data threads are told of the affinity of each pool. */
import { join } from 'node:path'
import type { AffinityView } from '../affinity/index.ts'
import { MAX_ROWS } from '../board/index.ts'
import { OWN_COOKIE, type PoolConfig } from '../config/index.ts'
import type { Logger } from '../core/index.ts'
import { loadCookieKey } from './cookie-key.ts'

type AffinityConfig = PoolConfig['affinity']

const KEY_FILE = 'affinity.key'

const isOwnCookie = ({ type, mode }: AffinityConfig): boolean => type === 'cookie' && mode === 'insert'

/** Does it keep clients in the shared table? */
export const usesTable = ({ type, mode, fallback }: AffinityView): boolean =>
  type !== 'cookie' || mode === 'existing' || fallback === 'source-ip'

export class AffinityPlan {
  readonly #folder: string
  readonly #log: Logger
  /** Numbers of the groups, behind those of the pools' rows. Pools share with those of their name. */
  readonly #groups = new Map<string, number>()
  #key: Promise<Uint8Array> | null = null

  /** @param folder where the key of cookies is kept */
  constructor(folder: string, log: Logger) {
    this.#folder = folder
    this.#log = log
  }

  /**
   * @param row of the pool
   * @param cookies names that pools of the same service use; the pool's own is added
   */
  async viewOf(
    service: string,
    pool: string,
    row: number,
    config: AffinityConfig,
    cookies: Set<string>,
  ): Promise<AffinityView | null> {
    const { type, mode, fallback, prefix4, prefix6, timeout, group } = config
    if (type === 'none') return null
    const own = isOwnCookie(config)
    const name = own ? cookieName(config.name ?? OWN_COOKIE, pool, cookies) : (config.name ?? '')
    if (own) this.#key ??= loadCookieKey(join(this.#folder, KEY_FILE), this.#log)
    return {
      type,
      name,
      mode,
      fallback,
      prefix4,
      prefix6,
      timeout,
      maxIdle: config.maxIdle ?? null,
      maxLife: config.maxLife ?? null,
      scope:
        group === undefined
          ? { name: `pool ${service}/${pool}`, number: row }
          : { name: `group ${group}/${pool}`, number: this.#numberOf(`${group}/${pool}`) },
      grouped: group !== undefined,
      cookieKey: own ? await this.#key : null,
    }
  }

  #numberOf(group: string): number {
    const known = this.#groups.get(group)
    if (known !== undefined) return known
    const number = MAX_ROWS.pool + this.#groups.size
    this.#groups.set(group, number)
    return number
  }
}

/** Pools of one service can't write into one cookie: a pool that inherits the name adds its own. */
function cookieName(name: string, pool: string, taken: Set<string>): string {
  const own = taken.has(name) ? `${name}-${pool}` : name
  taken.add(own)
  return own
}
