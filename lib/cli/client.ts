/** Asks the admin API of a running balancer. */
import { existsSync } from 'node:fs'
import { loadConfig } from '../config/index.ts'
import { formatAddress, HttpFailure, httpRequest, parseAddressRange } from '../core/index.ts'
import { CommandFailure } from './failure.ts'

export interface AdminFlags {
  readonly admin?: string
  readonly token?: string
}

export interface AdminPlace {
  /** `127.0.0.1:9600` */
  readonly address: string
  /** '': none. */
  readonly token: string
}

/** An answer that says no. */
export class Refused extends CommandFailure {
  readonly status: number
  constructor(status: number, message: string) {
    super(1, message)
    this.status = status
  }
}

const DEFAULT_ADDRESS = '127.0.0.1:9600'
const PLACE = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?):\d{1,5}$/i
const ANSWER_MS = 5000
const MAX_BYTES = 256 * 1024 * 1024 // 16,384 backends with ten results each are 35 MB

/** What is not given comes from the environment, then from the configuration in this folder. */
export async function findAdmin(flags: AdminFlags, file: string): Promise<AdminPlace> {
  const given = flags.token ?? process.env['EVENKEEL_ADMIN_TOKEN'] ?? ''
  if (flags.admin !== undefined) {
    if (!PLACE.test(flags.admin))
      throw new CommandFailure(2, `--admin ${flags.admin} is not an address and port; write 127.0.0.1:9600`)
    return { address: flags.admin, token: given }
  }
  const loaded = existsSync(file) ? await loadConfig(file) : null
  if (loaded?.ok !== true) return { address: DEFAULT_ADDRESS, token: given }
  const { listen, token } = loaded.config.admin
  return { address: reachable(listen), token: given === '' ? token : given }
}

/** Where a listener on all addresses is reached from here. */
function reachable(listen: string): string {
  const range = parseAddressRange(listen)
  if (typeof range === 'string') return listen
  const host = range.host === '0.0.0.0' ? '127.0.0.1' : range.host === '::' ? '::1' : range.host
  return formatAddress(host, range.first)
}

/**
 * The JSON at `path`.
 * @throws CommandFailure with exit code 3 when nothing usable answers, Refused when the balancer says no
 */
export async function ask<T>({ address, token }: AdminPlace, path: string): Promise<T> {
  const answer = await httpRequest({
    origin: `http://${address}`,
    path,
    headers: token === '' ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(ANSWER_MS),
    maxBytes: MAX_BYTES,
    reuse: true,
  }).catch((error: unknown) => {
    throw unreachable(address, error)
  })
  const value = parse(answer.body)
  if (value === undefined) throw new CommandFailure(3, `what answers at ${address} is not evenkeel's admin API`)
  if (answer.status === 200) return value as T
  if (answer.status === 401)
    throw new Refused(401, 'the balancer wants its token: give --token, or set EVENKEEL_ADMIN_TOKEN')
  throw new Refused(answer.status, messageIn(value) ?? `the balancer answered ${answer.status}`)
}

function unreachable(address: string, error: unknown): unknown {
  if (!(error instanceof HttpFailure)) return error
  const why = error.reason === 'aborted' ? `no answer within ${ANSWER_MS / 1000} s` : error.message
  return new CommandFailure(3, `the balancer can't be reached at ${address}: ${why}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const messageIn = (value: unknown): string | undefined =>
  typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string'
    ? value.message
    : undefined
