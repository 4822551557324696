/** Asks the admin API of a running balancer. */
import { existsSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import type { Config } from '../config/index.ts'
import { formatAddress, HttpFailure, httpRequest, parseAddressRange } from '../core/index.ts'
import { CommandFailure } from './failure.ts'

export interface AdminFlags {
  readonly admin?: string
  readonly token?: string
}

export interface AdminPlace {
  /** `127.0.0.1:9600`, or `unix:/run/evenkeel.sock` */
  readonly address: string
  /** '': none. */
  readonly token: string
}

/** An answer that says no. */
export class Refused extends CommandFailure {
  readonly status: number
  /** What it was answered. */
  readonly value: unknown
  constructor(status: number, message: string, value?: unknown) {
    super(status === CONFLICT ? 5 : 1, message)
    this.status = status
    this.value = value
  }
}

const CONFLICT = 409
const DEFAULT_ADDRESS = '127.0.0.1:9600'
const PACKAGED = '/run/evenkeel/admin.sock' // as the Debian package has it
const PLACE = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?):\d{1,5}$/i
const UNIX = 'unix:'
const ANSWER_MS = 5000
const CHANGE_MS = 30_000 // threads that are slow to obey are waited for
const MAX_BYTES = 256 * 1024 * 1024 // 16,384 backends with ten results each are 35 MB

/** What is not given comes from the environment, then from the configuration in this folder. */
export async function findAdmin(flags: AdminFlags, file: string): Promise<AdminPlace> {
  const given = flags.token ?? process.env['EVENKEEL_ADMIN_TOKEN'] ?? ''
  if (flags.admin !== undefined) {
    if (!PLACE.test(flags.admin) && !flags.admin.startsWith(`${UNIX}/`))
      throw new CommandFailure(2, `--admin ${flags.admin} is not an address and port; write 127.0.0.1:9600`)
    return { address: flags.admin, token: given }
  }
  const { loadConfig } = await import('../config/index.ts') // the half of a command's time, where it is needed
  const loaded = existsSync(file) ? await loadConfig(file) : null
  if (loaded?.ok !== true)
    return { address: existsSync(PACKAGED) ? `${UNIX}${PACKAGED}` : DEFAULT_ADDRESS, token: given }
  const place = placeOf(loaded.config)
  return given === '' ? place : { ...place, token: given }
}

/** Where a configuration has its admin API. */
export const placeOf = ({ admin }: Config): AdminPlace => ({ address: reachable(admin.listen), token: admin.token })

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
export const ask = <T>(place: AdminPlace, path: string): Promise<T> => exchange(place, path, null, ANSWER_MS)

/** Asks for a change, in the name of this user. Throws as `ask` does. */
export const tell = <T>(place: AdminPlace, path: string, wish: object, ms = CHANGE_MS): Promise<T> =>
  exchange(place, path, { text: JSON.stringify(wish), type: 'application/json' }, ms)

/** Has a text looked at, which is not JSON. Throws as `ask` does. */
export const show = <T>(place: AdminPlace, path: string, text: string, type: string): Promise<T> =>
  exchange(place, path, { text, type }, CHANGE_MS)

interface Sent {
  readonly text: string
  readonly type: string
}

async function exchange<T>({ address, token }: AdminPlace, path: string, sent: Sent | null, ms: number): Promise<T> {
  const local = address.startsWith(UNIX)
  const answer = await httpRequest({
    origin: local ? 'http://localhost' : `http://${address}`,
    ...(local ? { socketPath: address.slice(UNIX.length) } : {}),
    path,
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(sent === null ? {} : { 'content-type': sent.type, 'x-evenkeel-operator': operator() }),
    },
    ...(sent === null ? {} : { method: 'POST', body: sent.text }),
    signal: AbortSignal.timeout(ms),
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
  throw new Refused(answer.status, messageIn(value) ?? `the balancer answered ${answer.status}`, value)
}

function operator(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    return `uid ${process.getuid?.() ?? '?'}@${hostname()}` // a user without a name
  }
}

function unreachable(address: string, error: unknown): unknown {
  if (!(error instanceof HttpFailure)) return error
  const why = error.reason === 'aborted' ? 'no answer in time' : error.message
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
