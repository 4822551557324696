/** `evenkeel query`: the state of services and backends, once or again and again. */
import type { BackendView, ServiceView, StatusView } from '../admin/index.ts'
import { departingLines } from './changes.ts'
import { type AdminFlags, type AdminPlace, ask, findAdmin } from './client.ts'
import { CommandFailure } from './failure.ts'
import { painter } from './paint.ts'
import {
  backendDetails,
  overloadLine,
  predecessorLines,
  problemLines,
  type Screen,
  serviceHead,
  servicesTable,
  standingLines,
} from './states.ts'
import { harmless } from './table.ts'
import { explained, targetOf } from './target.ts'
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
  const wanted = targetOf(target)
  const { service, backend, path: at } = wanted
  const asked =
    <T>(path: string, screen: (value: T) => Screen) =>
    async (): Promise<Screen> => {
      const value = await ask<T>(place, path).catch(async (error: unknown) => {
        throw await explained(place, wanted, error)
      })
      return json ? () => [JSON.stringify(value)] : screen(value)
    }
  if (service === undefined)
    return json ? asked<ServiceView[]>('/api/v1/services', () => () => []) : () => everything(place)
  if (backend === undefined)
    return asked<ServiceView>(`/api/v1${at}`, (view) => (...to) => [
      ...serviceHead(view, ...to),
      ...servicesTable([view], ...to),
    ])
  return asked<BackendView>(
    `/api/v1${at}`,
    (view) =>
      (...to) =>
        backendDetails(service, view, ...to),
  )
}

/** The appliance, the services that operators keep from flows, and every backend. */
async function everything(place: AdminPlace): Promise<Screen> {
  const { operated, overload, problems, departing, predecessor, notes } = await ask<StatusView>(place, '/api/v1/status')
  const views = await ask<ServiceView[]>(place, '/api/v1/services')
  return (width, paint) => [
    ...overloadLine(overload, paint),
    ...problemLines(problems, paint),
    ...predecessorLines(predecessor ?? null, paint),
    ...standingLines(operated, views, width, paint),
    '',
    ...servicesTable(views, width, paint),
    ...departingLines(departing, paint),
    ...(notes ?? []).map((note) => paint('dim', `note: ${harmless(note)}`)),
  ]
}
