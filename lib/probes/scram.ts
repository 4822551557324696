/** The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { ProbeFailure } from './contract.ts'

const MAX_ROUNDS = 100_000 // servers take 4096; a liar could keep a core busy for minutes
const GS2 = 'n,,' // no channel binding

const derive = promisify(pbkdf2)
const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const wrong = (): ProbeFailure => new ProbeFailure('protocol', 'not an answer in SCRAM')

export class ScramClient {
  readonly #password: string
  readonly #nonce = randomBytes(18).toString('base64')
  #signature: Buffer = Buffer.alloc(0)
  #verified = false

  constructor(password: string) {
    this.#password = password
  }

  /** PostgreSQL takes the name from elsewhere and leaves it empty here. */
  first(): string {
    return `${GS2}${this.#bare()}`
  }

  /** @throws ProbeFailure */
  async final(challenge: string): Promise<string> {
    const [, nonce = '', salt = '', rounds = ''] = /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})$/.exec(challenge) ?? []
    if (!nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length) throw wrong()
    if (Number(rounds) < 1 || Number(rounds) > MAX_ROUNDS)
      throw new ProbeFailure('protocol', `SCRAM with ${rounds} rounds, of which at most ${MAX_ROUNDS} are computed`)
    const bytes = Buffer.from(salt, 'base64')
    const salted = await derive(this.#password.normalize('NFKC'), bytes, Number(rounds), 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = createHash('sha256').update(clientKey).digest()
    const binding = `c=${Buffer.from(GS2).toString('base64')},r=${nonce}`
    const message = `${this.#bare()},${challenge},${binding}`
    const proof = hmac(storedKey, message)
    for (const [i, byte] of clientKey.entries()) proof[i] = (proof[i] ?? 0) ^ byte
    this.#signature = hmac(hmac(salted, 'Server Key'), message)
    return `${binding},p=${proof.toString('base64')}`
  }

  /** The server has shown that it knows the password too. */
  get verified(): boolean {
    return this.#verified
  }

  /** @throws ProbeFailure for a server that does not know the password either */
  verify(final: string): void {
    const signature = Buffer.from(/^v=([A-Za-z0-9+/=]+)$/.exec(final)?.[1] ?? '', 'base64')
    if (signature.length !== 32 || signature.length !== this.#signature.length) throw wrong()
    if (!timingSafeEqual(signature, this.#signature)) throw wrong()
    this.#verified = true
  }

  #bare(): string {
    return `n=,r=${this.#nonce}`
  }
}
