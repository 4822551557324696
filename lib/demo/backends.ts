/** Starts the demo backends, each one an HTTP server and a line-echo server, and stops them together. */
import { once } from 'node:events'
import type { Server } from 'node:net'
import { type Address, BalancerError, codeOf, formatAddress, messageOf } from '../core/index.ts'
import { createHttpBackend } from './http-backend.ts'
import { createLineBackend } from './line-backend.ts'

export interface DemoOptions {
  /** How many. Default: as many as `ports`, else 3. */
  readonly count?: number
  /** HTTP ports; 0: any free one. Default: 9101, 9102, … */
  readonly ports?: readonly number[]
  /** Ports of the line-echo servers. Default: ten above the HTTP port, or any free one where that is 0. */
  readonly tcpPorts?: readonly number[]
  /** Default: 127.0.0.1. */
  readonly host?: string
}

export interface DemoAddresses {
  readonly name: string
  readonly http: Address
  readonly tcp: Address
}

export interface DemoHandle {
  readonly addresses: readonly DemoAddresses[]
  /** Stops listening and cuts every connection. */
  close(): Promise<void>
}

/** A server that can end at once, with the connections it has handed to others. */
export interface DemoServer {
  readonly server: Server
  cut(): void
}

const FIRST_PORT = 9101
const TCP_OFFSET = 10
const MAX_BACKENDS = TCP_OFFSET // more would run into the ports of the line-echo servers

export async function startDemoBackends(options: DemoOptions = {}): Promise<DemoHandle> {
  const host = options.host ?? '127.0.0.1'
  const count = options.count ?? options.ports?.length ?? 3
  if (!Number.isInteger(count) || count < 1 || count > MAX_BACKENDS)
    throw new BalancerError('CONFIG_INVALID', `${count} demo backends are not possible; take 1 to ${MAX_BACKENDS}`)
  const started: DemoServer[] = []
  const addresses: DemoAddresses[] = []
  const listen = async (backend: DemoServer, name: string, port: number): Promise<Address> => {
    started.push(backend)
    return { host, port: await listenOn(backend.server, name, host, port) }
  }
  try {
    for (let i = 0; i < count; i++) {
      const name = `backend-${i + 1}`
      const port = options.ports?.[i] ?? FIRST_PORT + i
      const tcpPort = options.tcpPorts?.[i] ?? (port === 0 ? 0 : port + TCP_OFFSET)
      const http = await listen(createHttpBackend(name), name, port)
      const tcp = await listen(createLineBackend(name), name, tcpPort)
      addresses.push({ name, http, tcp })
    }
  } catch (error) {
    await closeAll(started)
    throw error
  }
  return { addresses, close: () => closeAll(started) }
}

async function listenOn(server: Server, name: string, host: string, port: number): Promise<number> {
  const where = `demo ${name} can't listen on ${formatAddress(host, port)}`
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (error) {
    const busy = codeOf(error) === 'EADDRINUSE'
    const why = busy ? `port ${port} is in use; stop what holds it or choose another port` : messageOf(error)
    throw new BalancerError('LISTEN_FAILED', `${where}: ${why}`, { cause: error })
  }
  // Later errors are failed accepts (out of descriptors): the one connection is lost, the server goes on.
  server.on('error', () => {})
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

async function closeAll(backends: readonly DemoServer[]): Promise<void> {
  await Promise.all(
    backends.map(async ({ server, cut }) => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    }),
  )
}
