/** What we tell backends of a client connection: put together once per connection, not once per request. */
import type { ForwardRules } from './forward.ts'

const NOTHING = Buffer.alloc(0)

export class Hop {
  readonly clientAddress: string
  readonly scheme: 'http' | 'https'
  /** The port that the client came to. */
  readonly port: number
  /** The peer is a trusted proxy: its forwarding fields are believed. */
  readonly trusted: boolean
  /** Lines of its certificate; '': it was not asked for one. */
  readonly certificate: string
  /** What the client speaks; an HTTP/1.0 request says so itself. */
  readonly version: '1.1' | '2.0'
  readonly #via: string
  #authority = ''
  #identity = NOTHING

  constructor(
    clientAddress: string,
    scheme: 'http' | 'https',
    port: number,
    trusted: boolean,
    rules: ForwardRules,
    certificate = '',
    version: '1.1' | '2.0' = '1.1',
  ) {
    this.certificate = certificate
    this.clientAddress = clientAddress
    this.scheme = scheme
    this.port = port
    this.trusted = trusted
    this.version = version
    this.#via = rules.via === false ? '' : `Via: ${version} ${rules.via}\r\n`
  }

  /** The text of `buf[start..end)`: the same string as long as the connection asks for the same host. */
  authority(buf: Buffer, start: number, end: number): string {
    const authority = buf.latin1Slice(start, end)
    if (authority === this.#authority && this.#identity !== NOTHING) return this.#authority
    this.#authority = authority
    this.#identity = Buffer.from(
      `X-Forwarded-For: ${this.clientAddress}\r\nX-Forwarded-Proto: ${this.scheme}\r\n` +
        `${authority === '' ? '' : `X-Forwarded-Host: ${authority}\r\n`}X-Forwarded-Port: ${this.port}\r\n${this.certificate}${this.#via}`,
      'latin1',
    )
    return authority
  }

  /** The forwarding fields of the last `authority`, and the Via line of an HTTP/1.1 request. */
  get identity(): Uint8Array {
    return this.#identity
  }
}
