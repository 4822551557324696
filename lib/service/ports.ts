/** Claims the listeners' ports before the data threads bind them with SO_REUSEPORT, which would share them silently. */
import { createServer, type Server } from 'node:net'
import { BalancerError, codeOf, formatAddress, messageOf } from '../core/index.ts'

/** A port that nobody else listens on; `release` frees it for the data threads. */
export interface Claim {
  readonly port: number
  release(): Promise<void>
}

/** The ports of one change, or of the start. */
export class Claims {
  readonly #given: Claim[] = []
  readonly #chosen: Claim[] = []

  /** Port 0 gets a free one. Throws LISTEN_FAILED with the reason. */
  async take(service: string, host: string, port: number): Promise<number> {
    const claim = await claimPort(service, host, port)
    const claims = port === 0 ? this.#chosen : this.#given
    claims.push(claim)
    return claim.port
  }

  /** The data threads are about to bind. What the kernel chose stays ours meanwhile, or it would give it to the next who asks. */
  async open(): Promise<void> {
    await releaseAll(this.#given)
  }

  /** The data threads have bound, or won't. */
  async release(): Promise<void> {
    await Promise.all([releaseAll(this.#given), releaseAll(this.#chosen)])
  }
}

const releaseAll = (claims: Claim[]): Promise<unknown> => Promise.all(claims.splice(0).map((claim) => claim.release()))

/**
 * Binds `host:port`, which nobody else has; port 0 gets a free one, which the data threads can bind beside the claim.
 * Throws LISTEN_FAILED with the reason.
 */
export async function claimPort(service: string, host: string, port: number): Promise<Claim> {
  // Who connects meanwhile finds nobody yet, as a moment before: kept, the connection would hold the release up.
  const server = createServer((socket) => socket.resetAndDestroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new BalancerError('LISTEN_FAILED', sentence(service, host, port, error), { cause: error })),
    )
    // Choosing a port, the kernel passes over those that are shared already.
    server.listen({ host, port, exclusive: true, reusePort: port === 0, ipv6Only: host.includes(':') }, resolve)
  })
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : port, release: () => close(server) }
}

function sentence(service: string, host: string, port: number, error: Error): string {
  const place = `${service} can't listen on ${formatAddress(host, port)}`
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `${place}: the port is in use by another process`
    case 'EACCES':
      return `${place}: ports below 1024 need root or CAP_NET_BIND_SERVICE`
    case 'EADDRNOTAVAIL':
      return `${place}: the address is not one of this machine`
    default:
      return `${place}: ${messageOf(error)}`
  }
}

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()))
