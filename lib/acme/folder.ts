/** What is kept on disk for one authority: the account, the certificates, and how far each order is. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../core/index.ts'
import { type Credentials, loadCredentials, writeAtomically } from '../tls/index.ts'
import { type Json, objectOf, parseJson, textOf } from './json.ts'

const SECRET = 0o600
const OWNER_ONLY = 0o700
const ACCOUNT_KEY = 'account.key'
const ACCOUNT = 'account.json'

/** A certificate that is wanted. */
export interface Wanted {
  /** DNS names in lower case. */
  readonly names: readonly string[]
  readonly keyType: 'ec' | 'rsa'
}

/** An order on its way. */
export interface OpenOrder {
  readonly url: string
  /** Of the certificate that it will bring, in PEM. */
  readonly key: string
}

/** How far a certificate is. */
export interface Progress {
  readonly order: OpenOrder | null
  /** Tries in a row that failed. */
  readonly failures: number
  /** Not before: wall-clock milliseconds. */
  readonly tryAt: number
  /** That is the authority's wish. */
  readonly limited: boolean
  /** Why the last one failed; '': it did not. */
  readonly error: string
}

export const FRESH: Progress = { order: null, failures: 0, tryAt: 0, limited: false, error: '' }

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)

/** The same in every run. */
export const idOf = ({ names, keyType }: Wanted): string =>
  `${(names[0] ?? '').slice(0, 100)}-${keyType}-${digest(JSON.stringify([...names].sort()))}`

export class AcmeFolder {
  readonly path: string

  /** @param root for all authorities */
  constructor(root: string, directory: string) {
    this.path = join(root, `${new URL(directory).hostname}-${digest(directory)}`)
  }

  /** The key is in the same file, so that both are replaced in one step. */
  certificatePath(id: string): string {
    return join(this.path, `${id}.pem`)
  }

  /** null: there is none that could be used. */
  async certificate(id: string): Promise<Credentials | null> {
    return loadCredentials({ cert: this.certificatePath(id) }).catch(() => null)
  }

  /** Those of all files. */
  async certificates(): Promise<Credentials[]> {
    const files = await readdir(this.path).catch(() => [])
    const all = files.filter((name) => name.endsWith('.pem')).map((name) => this.certificate(name.slice(0, -4)))
    return (await Promise.all(all)).filter((each) => each !== null)
  }

  /** Takes its place only when a listener could use it. @throws BalancerError TLS_CERTIFICATE */
  async keepCertificate(id: string, chain: string, key: string): Promise<Credentials> {
    const path = this.certificatePath(id)
    const aside = `${path}.next`
    await this.#write(aside, chain + key)
    try {
      const credentials = await loadCredentials({ cert: aside })
      await rename(aside, path)
      return credentials
    } catch (error) {
      await rm(aside, { force: true })
      throw error
    }
  }

  accountKey(): Promise<string | null> {
    return this.#read(ACCOUNT_KEY)
  }

  keepAccountKey(pem: string): Promise<void> {
    return this.#write(join(this.path, ACCOUNT_KEY), pem)
  }

  async accountUrl(): Promise<string | null> {
    const text = await this.#read(ACCOUNT)
    return (text === null ? '' : textOf(parseJson(text), 'url')) || null
  }

  keepAccountUrl(url: string): Promise<void> {
    return this.#write(join(this.path, ACCOUNT), `${JSON.stringify({ url })}\n`)
  }

  forgetAccount(): Promise<void> {
    return rm(join(this.path, ACCOUNT), { force: true })
  }

  async progress(id: string): Promise<Progress> {
    const text = await this.#read(`${id}.json`)
    if (text === null) return FRESH
    const json = parseJson(text)
    const order = objectOf(json, 'order')
    const [url, key] = [textOf(order, 'url'), textOf(order, 'key')]
    return {
      order: url === '' || key === '' ? null : { url, key },
      failures: wholeOf(json, 'failures'),
      tryAt: wholeOf(json, 'tryAt'),
      limited: json['limited'] === true,
      error: textOf(json, 'error'),
    }
  }

  keepProgress(id: string, progress: Progress): Promise<void> {
    return this.#write(join(this.path, `${id}.json`), `${JSON.stringify(progress)}\n`)
  }

  async #read(name: string): Promise<string | null> {
    try {
      return await readFile(join(this.path, name), 'utf8')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null
      throw error // a key that can't be read must not be replaced by another
    }
  }

  async #write(path: string, text: string): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: OWNER_ONLY })
    await writeAtomically(path, text, SECRET)
  }
}

function wholeOf(json: Json, key: string): number {
  const value = json[key]
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.floor(value) : 0
}
