/** `evenkeel query`: the state of services and backends, once or again and again. */
import type { BackendView, ServiceView, StatusView } from '../admin/index.ts'
import { nearest } from '../config/index.ts'
import { type AdminFlags, type AdminPlace, ask, findAdmin, Refused } from './client.ts'
import { CommandFailure } from './failure.ts'
import { painter } from './paint.ts'
import { backendDetails, overloadLine, type Screen, serviceHead, servicesTable } from './states.ts'
import { watch } from './watch.ts'

export interface QueryFlags extends AdminFlags {
  readonly json?: boolean
  /** true: with the default interval; else seconds, or what the user took for the target. */
  readonly watch?: string | true
}

const DEFAULT_SECONDS = 1
const MIN_SECONDS = 0.1
const MAX_SECONDS = 3600

/** Answers the exit code; throws CommandFailure for all codes above 0. */
export async function query(target: string | undefined, flags: QueryFlags, file: string): Promise<number> {
  const { seconds, at } = interval(target, flags.watch)
  const place = await findAdmin(flags, file)
  const look = looker(place, at, flags.json === true)
  if (seconds !== null) return watch(look, seconds * 1000, flags.json === true)
  const { columns, isTTY } = process.stdout
  const lines = (await look())(isTTY ? columns : Number.POSITIVE_INFINITY, painter(isTTY))
  process.stdout.write(`${lines.join('\n')}\n`)
  return 0
}

/** `--watch shop` means the target, though the option takes what follows it. */
function interval(target: string | undefined, option: string | true | undefined) {
  if (option === undefined) return { seconds: null, at: target }
  if (option === true) return { seconds: DEFAULT_SECONDS, at: target }
  const seconds = Number(option)
  if (!Number.isNaN(seconds)) {
    if (seconds >= MIN_SECONDS && seconds <= MAX_SECONDS) return { seconds, at: target }
    throw new CommandFailure(2, `--watch=${option}: from ${MIN_SECONDS} to ${MAX_SECONDS} seconds`)
  }
  if (target === undefined) return { seconds: DEFAULT_SECONDS, at: option }
  throw new CommandFailure(2, `--watch=${option} is not a number of seconds`)
}

/** What asks for the target each time it is called. */
function looker(place: AdminPlace, target: string | undefined, json: boolean): () => Promise<Screen> {
  const [service = '', ...rest] = target?.split('/') ?? []
  const backend = rest.join('/')
  if (target !== undefined && (service === '' || (rest.length > 0 && backend === '')))
    throw new CommandFailure(2, `${target} is not a target; write SERVICE or SERVICE/BACKEND`)
  const ofService = `/api/v1/services/${encodeURIComponent(service)}`
  const asked =
    <T>(path: string, screen: (value: T) => Screen) =>
    async (): Promise<Screen> => {
      const value = await ask<T>(place, path).catch(async (error: unknown) => {
        throw error instanceof Refused && error.status === 404 ? await unknown(place, service, backend, error) : error
      })
      return json ? () => [JSON.stringify(value)] : screen(value)
    }
  if (target === undefined)
    return async () => {
      const views = await ask<ServiceView[]>(place, '/api/v1/services')
      if (json) return () => [JSON.stringify(views)]
      const { overload } = await ask<StatusView>(place, '/api/v1/status')
      return (width, paint) => [...overloadLine(overload, paint), ...servicesTable(views, width, paint)]
    }
  if (backend === '')
    return asked<ServiceView>(ofService, (view) => (...to) => [
      ...serviceHead(view, ...to),
      ...servicesTable([view], ...to),
    ])
  return asked<BackendView>(
    `${ofService}/backends/${encodeURIComponent(backend)}`,
    (view) =>
      (...to) =>
        backendDetails(service, view, ...to),
  )
}

/** The balancer's sentence, with the name that was probably meant. */
async function unknown(place: AdminPlace, service: string, backend: string, error: Refused): Promise<CommandFailure> {
  const { services } = await ask<StatusView>(place, '/api/v1/status')
  const names = services.map(({ name }) => name)
  if (!names.includes(service)) return new CommandFailure(1, error.message + meant(service, names))
  const { backends } = await ask<ServiceView>(place, `/api/v1/services/${encodeURIComponent(service)}`)
  const known = backends.map(({ name }) => name)
  return new CommandFailure(1, error.message + meant(backend, known))
}

/** ` (did you mean shop?)`, or nothing when no name is near enough to be a typing error. */
function meant(name: string, names: readonly string[]): string {
  const best = nearest(name, names)
  return best === undefined ? '' : ` (did you mean ${best}?)`
}
