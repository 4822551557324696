/** The load over HTTP (Kemp's adaptive agent): the first line of the answer is 0 (idle) to 100, 101 (down) or 102 (disabled). */
import type { LoadConfig } from '../config/index.ts'
import { type Address, formatAddress, HttpFailure, httpRequest } from '../core/index.ts'
import { AgentFailure, type AgentReport, type LoadAgent, SILENT } from './contract.ts'

const MAX_BODY_BYTES = 256 // three digits, and what an editor may have put around them
const DOWN = 101
const DISABLED = 102

export function createHttpAgent({ path, host }: Pick<LoadConfig, 'path' | 'host'>): LoadAgent {
  const headers = { 'user-agent': 'evenkeel-agent', ...(host === undefined ? null : { host }) }
  return {
    ask: async (target: Address, signal: AbortSignal): Promise<AgentReport> => {
      const origin = `http://${formatAddress(target.host, target.port)}`
      const request = { origin, path, headers, signal, maxBytes: MAX_BODY_BYTES, until: '\n' }
      const { status, body } = await httpRequest(request).catch(rethrow)
      if (status < 200 || status > 299) throw new AgentFailure(`HTTP ${status}`)
      return loadReport(body)
    },
  }
}

/** @throws AgentFailure for a text whose first line is not a load */
export function loadReport(body: string): AgentReport {
  const [line = ''] = body.split('\n', 1)
  const number = /^[ \t]*(\d{1,3})[ \t]*\r?$/.exec(line)
  const n = Number(number?.[1])
  if (number === null || n > DISABLED) throw new AgentFailure(`not a load: ${JSON.stringify(line.slice(0, 32))}`)
  if (n === DOWN) return { ...SILENT, health: 'down', reason: 'load 101' }
  if (n === DISABLED) return { ...SILENT, admin: 'maint', reason: 'load 102' }
  return { ...SILENT, load: n, health: 'up', admin: 'ready' }
}

function rethrow(error: unknown): never {
  if (!(error instanceof HttpFailure)) throw AgentFailure.of(error)
  throw new AgentFailure(error.reason === 'aborted' ? 'no complete answer in time' : error.message, error)
}
