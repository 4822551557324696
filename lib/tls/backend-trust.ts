/** TLS towards the backends of a pool: read on control, used in data threads, where sessions are kept. */
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, type TLSSocket, connect as tlsConnect } from 'node:tls'
import { tlsOptions } from '../core/index.ts'
import { readAuthorities } from './client-trust.ts'
import { loadCredentials } from './credentials.ts'
import { Followed } from './followed.ts'
import { refuse } from './pem.ts'
import { protocolOf } from './protocol.ts'

export interface BackendTlsOptions {
  readonly serverName?: string | undefined
  readonly ca?: string | undefined
  readonly pins: readonly string[]
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly insecureSkipVerify: boolean
  readonly startTls: boolean
}

/** Plain data: it is posted to the data threads. */
export interface BackendTlsView {
  readonly serverName: string | null
  /** PEM; null: the authorities of the runtime. */
  readonly ca: string | null
  readonly pins: readonly string[]
  /** Ours; null: none. */
  readonly pair: { readonly cert: string; readonly key: string } | null
  readonly verified: boolean
  /** TLS is asked for first. */
  readonly asked: boolean
}

/** What is to be looked at for changes. */
const pathsOf = ({ ca, cert, key }: BackendTlsOptions): string[] =>
  [...new Set([ca, cert, key])].filter((path) => path !== undefined)

/** @throws BalancerError TLS_CERTIFICATE */
export const followBackendTls = (options: BackendTlsOptions): Promise<Followed<BackendTlsView>> =>
  Followed.of(pathsOf(options), () => loadBackendTls(options))

/** @throws BalancerError TLS_CERTIFICATE */
export async function loadBackendTls(options: BackendTlsOptions): Promise<BackendTlsView> {
  const { serverName = null, ca, pins, cert, key, insecureSkipVerify, startTls } = options
  const pair = cert === undefined ? null : await loadCredentials({ cert, key })
  const view = {
    serverName,
    ca: ca === undefined ? null : await readAuthorities(ca),
    pins,
    pair: pair === null ? null : { cert: pair.cert, key: pair.key },
    verified: !insecureSkipVerify,
    asked: startTls,
  }
  try {
    contextOf(view)
  } catch (error) {
    throw refuse(`backendTls can't be used: ${String(error)}`, error)
  }
  return view
}

function contextOf({ ca, pair }: BackendTlsView): SecureContext {
  const { minVersion, ciphers, curves } = protocolOf({ profile: 'intermediate' })
  return createSecureContext({
    minVersion,
    ciphers,
    ecdhCurve: curves,
    ...(ca === null ? {} : { ca }),
    ...(pair === null ? {} : pair),
  })
}

const HALF_OPEN: object = { allowHalfOpen: true } // a socket option that the types of tls.connect leave out

export type FailureListener = (host: string, port: number, error: Error) => void

export class BackendTls {
  readonly asked: boolean
  readonly #view: BackendTlsView
  readonly #context: SecureContext
  readonly #alpn: string[]
  readonly #onFailure: FailureListener
  /** The last session of each backend, by address. Only backends that were verified give any. */
  readonly #sessions = new Map<string, Buffer>()

  /**
   * @param alpn protocols that are offered; empty: none are
   * @param onFailure told of each handshake that failed
   */
  constructor(view: BackendTlsView, alpn: readonly string[], onFailure: FailureListener) {
    this.#onFailure = onFailure
    this.#view = view
    this.asked = view.asked
    this.#context = contextOf(view)
    this.#alpn = [...alpn]
  }

  /** A handshake over `raw`, which is connected to `host`; `secureConnect` comes only when the backend is who it should be. */
  wrap(raw: Socket, host: string, port: number): TLSSocket {
    const { serverName, pins, verified } = this.#view
    const at = `${host} ${port}`
    const session = this.#sessions.get(at)
    const trust = { rejectUnauthorized: verified, pins, ...(serverName === null ? {} : { servername: serverName }) }
    const socket = tlsConnect({
      ...HALF_OPEN,
      ...tlsOptions(trust, host),
      socket: raw,
      secureContext: this.#context,
      ...(this.#alpn.length === 0 ? {} : { ALPNProtocols: this.#alpn }),
      ...(session === undefined ? {} : { session }),
    })
    socket.on('session', (given: Buffer) => this.#sessions.set(at, given))
    const failed = (error: Error): void => {
      this.#sessions.delete(at) // a backend with another certificate gets a whole handshake
      this.#onFailure(host, port, error)
    }
    socket.once('error', failed)
    socket.once('secureConnect', () => socket.off('error', failed))
    return socket
  }

  refused(host: string, port: number, problem: string): void {
    this.#onFailure(host, port, new Error(problem))
  }
}
