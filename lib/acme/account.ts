/** Our account with an authority: made on first use with a key of its own, and kept. */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { keyPem, makeKey } from '../tls/index.ts'
import type { AcmeFolder } from './folder.ts'
import { textOf } from './json.ts'
import { bindAccount } from './jws.ts'
import { AcmeFailure } from './problem.ts'
import type { AcmeServer, Answer } from './server.ts'

export interface AccountOptions {
  readonly email: string | undefined
  /** Where the authority wants to know us from elsewhere. */
  readonly eab: { readonly kid: string; readonly secret: string } | undefined
}

export class Account {
  readonly #server: AcmeServer
  readonly #folder: AcmeFolder
  readonly #options: AccountOptions
  #key: Promise<KeyObject> | null = null
  #url: Promise<string> | null = null

  constructor(server: AcmeServer, folder: AcmeFolder, options: AccountOptions) {
    this.#server = server
    this.#folder = folder
    this.#options = options
  }

  async key(): Promise<KeyObject> {
    this.#key ??= this.#readOrMakeKey().catch((error: unknown) => {
      this.#key = null
      throw error
    })
    return this.#key
  }

  /** A signed request in our name. @throws AcmeFailure */
  async post(url: string, payload: unknown): Promise<Answer> {
    const key = await this.key()
    try {
      return await this.#server.post(url, payload, key, await this.#kid())
    } catch (error) {
      if (!(error instanceof AcmeFailure) || error.type !== 'accountDoesNotExist') throw error
      this.#url = null // it was forgotten there: a test authority has started anew
      await this.#folder.forgetAccount()
      return this.#server.post(url, payload, key, await this.#kid())
    }
  }

  #kid(): Promise<string> {
    this.#url ??= this.#find().catch((error: unknown) => {
      this.#url = null
      throw error
    })
    return this.#url
  }

  async #find(): Promise<string> {
    const known = await this.#folder.accountUrl()
    if (known !== null) return known
    const key = await this.key()
    const url = await this.#server.url('newAccount')
    const { email, eab } = this.#options
    const meta = await this.#server.meta()
    if (meta['externalAccountRequired'] === true && eab === undefined)
      throw new AcmeFailure('the authority wants to know the account from elsewhere: give appliance.acme.eab')
    const wish = {
      termsOfServiceAgreed: true, // by the configuration, which must say so
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
      ...(eab === undefined ? {} : { externalAccountBinding: bindAccount(key, url, eab.kid, eab.secret) }),
    }
    const { location, json } = await this.#server.post(url, wish, key, null)
    if (location === '') throw new AcmeFailure('the authority made an account without an address')
    const status = textOf(json, 'status')
    if (status !== '' && status !== 'valid') throw new AcmeFailure(`the account is ${status}`)
    await this.#folder.keepAccountUrl(location)
    return location
  }

  async #readOrMakeKey(): Promise<KeyObject> {
    const pem = await this.#folder.accountKey()
    if (pem !== null) return createPrivateKey(pem)
    const key = await makeKey('ec')
    await this.#folder.keepAccountKey(keyPem(key))
    return key
  }
}
