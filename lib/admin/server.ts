/** The admin listener: API, metrics and health of the process itself. */
import { createServer } from 'node:http'
import type { Config } from '../config/index.ts'
import type { Logger } from '../core/index.ts'
import type { Manager } from '../service/index.ts'

export interface AdminOptions {
  readonly config: Config
  readonly file: string
  readonly version: string
  readonly manager: Manager
  readonly log: Logger
}

export interface AdminServer {
  /** `127.0.0.1:9600` */
  readonly address: string
  close(): Promise<void>
}

export async function startAdmin({ config }: AdminOptions): Promise<AdminServer> {
  const server = createServer((_request, response) => response.end('{}'))
  const at = config.admin.listen.lastIndexOf(':')
  const host = config.admin.listen.slice(0, at)
  await new Promise<void>((resolve) => server.listen(Number(config.admin.listen.slice(at + 1)), host, resolve))
  const address = server.address()
  return {
    address: `${host}:${typeof address === 'object' && address !== null ? address.port : 0}`,
    close: async () => void server.close(),
  }
}
