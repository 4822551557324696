/** evenkeel under test: one data thread, and idle times as long as those of the others. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstLine } from '../net.ts'
import { BALANCER_CORE, type Started } from '../processes.ts'
import type { Certificate, Peer, Running, Setup } from './contract.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMMAND = join(ROOT, 'lib/cli/evenkeel.js')

const configOf = (backends: readonly number[], { cert, key }: Certificate): string => {
  const list = backends.map((port) => `127.0.0.1:${port}`).join(', ')
  return `version: 1
appliance: { threads: 1, drain: { timeout: 1s } }
admin: { listen: 127.0.0.1:0 }
accessLog: { path: /dev/null, format: json }
defaults:
  health: { type: tcp, interval: 2s }
  timeouts: { keepAlive: 300s, backendIdle: 60s }
virtualServices:
  web:
    listen: ["127.0.0.1:0"]
    protocol: http
    backends: [${list}]
  secure:
    listen: ["127.0.0.1:0"]
    protocol: https
    tls: { certificates: [{ cert: ${cert}, key: ${key} }] }
    backends: [${list}]
  relay:
    listen: ["127.0.0.1:0"]
    protocol: tcp
    backends: [${list}]
`
}

/** What evenkeel's first line tells. */
interface StartedEvent {
  readonly event?: string
  readonly admin?: string
  readonly listeners?: Readonly<Record<string, readonly string[]>>
}

/** Reads the line that tells where the services listen. */
export function parseStarted(line: string): Required<Running['listeners']> {
  const event: StartedEvent = JSON.parse(line)
  const http = event.listeners?.['web']?.[0]
  const https = event.listeners?.['secure']?.[0]
  const tcp = event.listeners?.['relay']?.[0]
  if (event.event !== 'started' || http === undefined || https === undefined || tcp === undefined)
    throw new Error(`evenkeel's first line does not tell its listeners: ${line}`)
  return { http, https, tcp }
}

/** Starts evenkeel with a configuration; answers with its first line too. */
export async function startEvenkeel(
  { processes, folder, signal }: Pick<Setup, 'processes' | 'folder' | 'signal'>,
  config: string,
): Promise<{ process: Started; line: string }> {
  const file = join(folder, 'virtual-services.yaml')
  writeFileSync(file, config)
  const started = await processes.start('evenkeel', process.execPath, [COMMAND, 'run', '--json', file], {
    core: BALANCER_CORE,
    stdout: 'pipe',
  })
  return { process: started, line: await firstLine(started, signal) }
}

export const evenkeel: Peer = {
  name: 'evenkeel',
  find() {
    if (!existsSync(COMMAND)) return { missing: 'lib/cli/evenkeel.js does not exist' }
    const { version }: { version: string } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    return { version }
  },
  without: () => undefined,
  async start(setup) {
    const { process: started, line } = await startEvenkeel(setup, configOf(setup.backends, setup.certificate))
    return { process: started, listeners: parseStarted(line) }
  },
}
