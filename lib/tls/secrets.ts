/** The secrets of session tickets on the control thread: made here and rotated, or read from a file that appliances share. */
import { readFile, stat } from 'node:fs/promises'
import { type Clock, messageOf } from '../core/index.ts'
import { refuse } from './pem.ts'
import { newSecret, SECRET_BYTES, type TicketSecrets } from './tickets.ts'

export interface SecretsOptions {
  /** null: secrets are made here. */
  readonly file: string | null
  readonly rotateMs: number
  readonly clock: Clock
}

const KEPT = 3 // the current one and the previous two
const MAX_LINES = 8
const MAX_FILE_BYTES = 4096

export class SecretKeeper {
  readonly #options: SecretsOptions
  #secrets: readonly Uint8Array[] = [newSecret()]
  #since: number
  /** What the file looked like when it was read. */
  #read = ''
  problem: string | null = null

  constructor(options: SecretsOptions) {
    this.#options = options
    this.#since = options.clock.now()
  }

  /** Goes on with the secrets of the process before. Those of a file are read anyway. */
  adopt({ secrets }: TicketSecrets): void {
    if (this.#options.file === null) this.#secrets = secrets
  }

  get current(): TicketSecrets {
    return { secrets: this.#secrets, current: 0 }
  }

  /** @throws BalancerError TLS_CERTIFICATE for a file that can't be used */
  async load(): Promise<void> {
    const { file } = this.#options
    if (file === null) return
    this.#read = await looks(file)
    this.#secrets = await readSecrets(file)
  }

  /**
   * What every thread must accept before any makes tickets with the new secret, and then what it goes by; null: all is as it was.
   * A file that can't be used leaves the secrets as they are.
   */
  async look(): Promise<readonly [TicketSecrets, TicketSecrets] | null> {
    const { file, rotateMs, clock } = this.#options
    const before = this.#secrets
    if (file === null) {
      if (clock.now() - this.#since < rotateMs) return null
      this.#since = clock.now()
      this.#secrets = [newSecret(), ...before].slice(0, KEPT)
    } else {
      const seen = await looks(file)
      if (seen === this.#read) return null
      this.#read = seen
      try {
        this.#secrets = await readSecrets(file)
        this.problem = null
      } catch (error) {
        this.problem = messageOf(error)
        return null
      }
    }
    const [first] = before
    const all = [...(first === undefined ? [] : [first]), ...this.#secrets, ...before.slice(1)]
    return [{ secrets: all, current: 0 }, this.current]
  }
}

async function looks(file: string): Promise<string> {
  const facts = await stat(file, { bigint: true }).catch(() => null)
  return facts === null ? '' : [facts.ino, facts.size, facts.mtimeNs].join()
}

/** A secret on each line, as `openssl rand -base64 32` writes it. The first makes new tickets. */
async function readSecrets(file: string): Promise<Uint8Array[]> {
  let text: string
  try {
    text = await readFile(file, 'latin1')
  } catch (error) {
    throw refuse(`ticket key file ${file} can't be read: ${messageOf(error)}`, error)
  }
  const lines = text.slice(0, MAX_FILE_BYTES).split(/\r?\n/)
  const secrets: Uint8Array[] = []
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const secret = Buffer.from(line.trim(), 'base64')
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(line.trim()) || secret.length < SECRET_BYTES)
      throw refuse(`ticket key file ${file}: line ${i + 1} is not base64 of at least ${SECRET_BYTES} bytes`)
    secrets.push(secret)
  }
  if (secrets.length === 0)
    throw refuse(`ticket key file ${file} holds no key; write lines of openssl rand -base64 ${SECRET_BYTES}`)
  if (secrets.length > MAX_LINES) throw refuse(`ticket key file ${file} holds more than ${MAX_LINES} keys`)
  return secrets
}
