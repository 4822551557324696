/** The HTTP and HTTPS probes: an expected status, and the expected text, within a bounded answer. */
import type { HealthConfig } from '../config/index.ts'
import {
  type Address,
  formatAddress,
  HttpFailure,
  type HttpRequest,
  type HttpResponse,
  httpRequest,
} from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeResult } from './contract.ts'
import { trustOf } from './security.ts'

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
    maxBytes: health.body === undefined ? 0 : MAX_BODY_BYTES,
    ...(typeof health.body === 'string' ? { until: health.body } : null),
  }
  const trust = scheme === 'https' ? trustOf(health) : null
  const fits = fitnessOf(health.body)
  return {
    check: async ({ host, port }: Address, signal: AbortSignal): Promise<ProbeResult> => {
      const origin = `${scheme}://${formatAddress(host, port)}`
      const answer = await httpRequest({
        ...request,
        ...(trust === null ? null : { connect: trust() }),
        origin,
        signal,
      }).catch(rethrow)
      return judge(answer, health, fits)
    },
  }
}

function judge({ status, body }: HttpResponse, health: HealthConfig, fits: (body: string) => boolean): ProbeResult {
  if (status === 404 && health.disableOn404) return { detail: 'HTTP 404: drains', drain: true }
  const { expect } = health
  if (!expect.some(([first, last]) => status >= first && status <= last))
    throw new ProbeFailure('status', `HTTP ${status}, expected ${rangesOf(expect)}`)
  if (!fits(body)) throw new ProbeFailure('body', `HTTP ${status}, without the expected text in the first 64 KiB`)
  return { detail: `HTTP ${status}` }
}

/** Patterns have been checked by the schema to run in linear time. */
function fitnessOf(body: HealthConfig['body']): (body: string) => boolean {
  if (body === undefined) return () => true
  if (typeof body === 'string') return (text) => text.includes(body)
  const pattern = new RegExp(body.pattern, 'us')
  return (text) => pattern.test(text)
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
