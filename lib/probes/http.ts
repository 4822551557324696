/** The HTTP and HTTPS probes: an expected status, and the expected text, within a bounded answer. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { HealthConfig } from '../config/index.ts'
import {
  type Address,
  BalancerError,
  codeOf,
  formatAddress,
  type HttpConnect,
  HttpFailure,
  type HttpRequest,
  type HttpResponse,
  httpRequest,
  messageOf,
} from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'

const MAX_BODY_BYTES = 64 * 1024 // as the schema's `body` says
const MAX_HEAD_BYTES = 16 * 1024 // a backend that needs more has something wrong

/** @throws BalancerError for a CA file that can't be used */
export function createHttpProbe(health: HealthConfig): Probe {
  const scheme = health.type === 'https' ? 'https' : 'http'
  const request: Omit<HttpRequest, 'origin'> = {
    path: health.path,
    method: health.method,
    headers: fieldsOf(health),
    maxHead: MAX_HEAD_BYTES,
    ...(scheme === 'https' ? { connect: connectOf(health) } : null),
    ...(health.body === undefined ? { maxBytes: 0 } : { maxBytes: MAX_BODY_BYTES, until: health.body }),
  }
  return {
    check: async ({ host, port }: Address, signal: AbortSignal): Promise<ProbeResult> => {
      const origin = `${scheme}://${formatAddress(host, port)}`
      const answer = await httpRequest({ ...request, origin, signal }).catch(rethrow)
      return judge(answer, health)
    },
  }
}

function judge({ status, body }: HttpResponse, { expect, body: text }: HealthConfig): ProbeResult {
  if (!expect.some(([first, last]) => status >= first && status <= last))
    throw new ProbeFailure('status', `HTTP ${status}, expected ${rangesOf(expect)}`)
  if (text !== undefined && !body.includes(text))
    throw new ProbeFailure('body', `HTTP ${status}, without the expected text in the first 64 KiB`)
  return { detail: `HTTP ${status}` }
}

const rangesOf = (ranges: HealthConfig['expect']): string =>
  ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',')

function rethrow(error: unknown): never {
  if (!(error instanceof HttpFailure)) throw ProbeFailure.of(error)
  if (error.reason === 'aborted') throw new ProbeFailure('timeout', 'no complete answer in time', error)
  throw new ProbeFailure(error.reason, error.message, error)
}

function fieldsOf(health: HealthConfig): Record<string, string> {
  const fields: Record<string, string> = { 'user-agent': 'evenkeel-probe' }
  for (const [name, value] of Object.entries(health.headers)) fields[name.toLowerCase()] = value
  if (health.host !== undefined) fields['host'] = health.host
  return fields
}

function connectOf({ tls, host }: HealthConfig): HttpConnect {
  const servername = tls.serverName ?? (host === undefined ? undefined : withoutPort(host))
  return {
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(servername === undefined ? null : { servername }),
    ...(tls.ca === undefined ? null : { ca: readAuthorities(tls.ca) }),
  }
}

/** `shop.example:8443` and `[::1]:80` without port and brackets. */
const withoutPort = (host: string): string => host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function readAuthorities(file: string): string {
  try {
    const blocks = readFileSync(file, 'utf8').match(PEM) ?? []
    if (blocks.length === 0) throw new Error('it holds no PEM certificate')
    for (const block of blocks) new X509Certificate(block)
    return blocks.join('\n')
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'it does not exist' : messageOf(error)
    throw new BalancerError('TLS_CERTIFICATE', `health.tls.ca: ${file} can't be used: ${why}`, { cause: error })
  }
}
