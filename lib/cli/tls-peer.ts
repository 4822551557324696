/** Connects to a TLS server as a client does, whatever it shows, and tells what that is. */
import type { X509Certificate } from 'node:crypto'
import { connect as connectPlain, isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { codeOf, messageOf, tlsProblem } from '../core/index.ts'
import { CommandFailure } from './failure.ts'
import { type StartTls, startTls } from './starttls.ts'
import { harmless } from './table.ts'

const TIMEOUT_MS = 10_000
const MAX_CHAIN = 10

/** What a server showed. */
export interface Shown {
  readonly protocol: string
  readonly cipher: string
  /** Leaf first, as far as it was shown or could be completed. */
  readonly chain: readonly X509Certificate[]
  /** Why the chain or the name is not believed; null: it is. */
  readonly distrust: string | null
  /** The OCSP answer; null: none. */
  readonly staple: Buffer | null
}

interface Target {
  readonly host: string
  readonly port: number
  readonly servername: string
  readonly ca: string | null
  /** What is spoken before TLS; null: nothing. */
  readonly protocol: StartTls | null
}

/** @throws CommandFailure when there is no TLS server */
export async function look({ host, port, servername, ca, protocol }: Target): Promise<Shown> {
  const raw = connectPlain({ host, port }).on('error', () => {}) // what comes after the handshake is of no interest
  let socket: TLSSocket | null = null
  const timer = setTimeout(() => {
    const error = new Error(`no answer within ${TIMEOUT_MS / 1000} s`)
    raw.destroy(error)
    socket?.destroy(error)
  }, TIMEOUT_MS)
  try {
    await settled(raw, 'connect')
    if (protocol !== null) await startTls(raw, protocol)
    socket = connect({
      socket: raw,
      ...(isIP(servername) === 0 ? { servername } : {}), // RFC 6066 §3: no addresses in SNI
      ...(ca === null ? {} : { ca }),
      host: servername,
      rejectUnauthorized: false, // what is wrong is told
      requestOCSP: true,
    })
    socket.on('error', () => {})
    let staple: Buffer | null = null
    socket.on('OCSPResponse', (bytes: Buffer | null) => {
      staple = bytes !== null && bytes.length > 0 ? bytes : null
    })
    await settled(socket, 'secureConnect')
    return { ...shownBy(socket, servername), staple }
  } catch (error) {
    throw new CommandFailure(1, `no TLS at ${host} port ${port}: ${harmless(why(error))}`)
  } finally {
    clearTimeout(timer)
    socket?.destroy()
    raw.destroy()
  }
}

/** With `once` of node:events an end without an error would be waited for in vain. */
function settled(socket: ReturnType<typeof connectPlain>, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server closed the connection')))
  })
}

const why = (error: unknown): string =>
  codeOf(error).startsWith('ERR_SSL') ? `the handshake failed: ${messageOf(error)}` : messageOf(error)

function shownBy(socket: TLSSocket, servername: string): Omit<Shown, 'staple'> {
  const chain: X509Certificate[] = []
  let next = socket.getPeerX509Certificate()
  while (
    next !== undefined &&
    chain.length < MAX_CHAIN &&
    chain.every((each) => !each.raw.equals(next?.raw ?? each.raw))
  ) {
    chain.push(next)
    next = next.issuerCertificate
  }
  // The types have an Error, but it is a code.
  const code: unknown = socket.authorized ? null : socket.authorizationError
  const [leaf] = chain
  const fits = leaf === undefined || fitsName(leaf, servername)
  const distrust =
    code !== null
      ? tlsProblem(Object.assign(new Error(String(code)), { code: String(code) }))
      : fits
        ? null
        : 'the certificate is for another name'
  return { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().standardName, chain, distrust }
}

export const fitsName = (leaf: X509Certificate, name: string): boolean =>
  (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined
