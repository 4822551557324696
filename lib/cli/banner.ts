/** What `evenkeel run` shows when everything listens: where, and what to try. */
import { relative } from 'node:path'
import type { Config } from '../config/index.ts'
import type { DemoHandle } from '../demo/index.ts'
import type { Started } from '../main.ts'
import type { Paint } from './paint.ts'

export interface BannerOptions {
  readonly version: string
  readonly config: Config
  readonly started: Started
  /** null: without demo backends. */
  readonly demo: DemoHandle['addresses'] | null
  /** How this program is called: `evenkeel`. */
  readonly command: string
}

export function banner({ version, config, started, demo, command }: BannerOptions, paint: Paint): string {
  const rows = Object.entries(started.listeners).map(([name, addresses]) => {
    const protocol = config.virtualServices[name]?.protocol ?? ''
    return { name, protocol, addresses: addresses.join(', '), hint: hint(protocol, addresses) }
  })
  const [names, protocols] = [widest(rows.map((row) => row.name)), widest(rows.map((row) => row.protocol))]
  const lines = [
    `${paint('bold', `evenkeel ${version}`)} is running`,
    '',
    ...rows.map(
      ({ name, protocol, addresses }) =>
        `  ${paint('green', name.padEnd(names))}  ${paint('dim', protocol.padEnd(protocols))}  ${addresses}`,
    ),
    `  ${paint('blue', 'admin'.padEnd(names))}  ${paint('dim', 'http'.padEnd(protocols))}  ${started.admin}`,
  ]
  for (const { name, http, tcp } of demo ?? [])
    lines.push(`  ${paint('dim', `${name}: demo backend, http on port ${http.port}, lines on port ${tcp.port}`)}`)
  const hints = [...rows.map((row) => row.hint), `${command} query --watch`, curlOf(started.admin)]
  return `${[...lines, '', 'Try', ...hints.filter((text) => text !== '').map((text) => `  ${text}`)].join('\n')}\n\n`
}

const curlOf = (admin: string): string =>
  admin.startsWith('unix:')
    ? `curl --unix-socket ${admin.slice('unix:'.length)} http://localhost/metrics`
    : `curl http://${admin}/metrics`

const widest = (texts: readonly string[]): number => Math.max(5, ...texts.map((text) => text.length))

/** A command that sends one flow to a service. */
function hint(protocol: string, [address = '']: readonly string[]): string {
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at)
  const port = address.slice(at + 1)
  const name = /^(?:0\.0\.0\.0|\[::\]|127\..*|\[::1\])$/.test(host) ? 'localhost' : host
  switch (protocol) {
    case 'http':
      return `curl http://${name}:${port}/`
    case 'https':
      return `curl -k https://${name}:${port}/`
    case 'tls':
      return `openssl s_client -quiet -connect ${name}:${port}`
    default:
      return `nc ${name.replace(/[[\]]/g, '')} ${port}`
  }
}

/** How to call this program again: by its name where it was called so, else by its path. */
export function commandName(script: string): string {
  return script.endsWith('.js') ? `node ${relative(process.cwd(), script)}` : 'evenkeel'
}
