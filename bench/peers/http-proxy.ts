/** The npm package http-proxy under test, on the runtime that evenkeel uses too. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { firstLine } from '../net.ts'
import { BALANCER_CORE } from '../processes.ts'
import type { Peer } from './contract.ts'

const SERVER = fileURLToPath(new URL('http-proxy-server.ts', import.meta.url))

export const httpProxy: Peer = {
  name: 'http-proxy',
  find() {
    try {
      const { version }: { version: string } = createRequire(import.meta.url)('http-proxy-legacy/package.json')
      return { version }
    } catch {
      return { missing: 'the package http-proxy-legacy is not installed' }
    }
  },
  without: (listener) => {
    if (listener === 'tcp') return 'it has no TCP relay'
    return listener === 'https' ? 'it is measured without TLS only' : undefined
  },
  async start({ processes, backends, signal }) {
    const args = ['--no-deprecation', SERVER, ...backends.map(String)]
    const started = await processes.start('http-proxy', process.execPath, args, { core: BALANCER_CORE, stdout: 'pipe' })
    return { process: started, listeners: { http: `127.0.0.1:${await firstLine(started, signal)}` } }
  },
}
