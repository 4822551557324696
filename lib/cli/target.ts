/** What a command is about: the appliance, a service or a backend, and where the admin API has it. */
import type { OperationsView, ServiceView, StatusView } from '../admin/index.ts'
import { nearest } from '../core/index.ts'
import { type AdminPlace, ask, Refused } from './client.ts'
import { CommandFailure } from './failure.ts'

export interface Target {
  /** undefined: the appliance. */
  readonly service: string | undefined
  /** undefined: all of the service. */
  readonly backend: string | undefined
  /** `the appliance`, or as it was given. */
  readonly name: string
  /** Below `/api/v1`; '': the appliance. */
  readonly path: string
}

/** @throws CommandFailure 2 */
export function targetOf(text: string | undefined): Target {
  if (text === undefined) return { service: undefined, backend: undefined, name: 'the appliance', path: '' }
  const [service = '', ...rest] = text.split('/')
  const backend = rest.length > 0 ? rest.join('/') : undefined
  if (service === '' || backend === '')
    throw new CommandFailure(2, `${text} is not a target; write SERVICE or SERVICE/BACKEND`)
  const path = `/services/${encodeURIComponent(service)}`
  if (backend === undefined) return { service, backend, name: text, path }
  return { service, backend, name: text, path: `${path}/backends/${encodeURIComponent(backend)}` }
}

/** What operators have made of it. */
export async function operatedOf(place: AdminPlace, { path }: Target): Promise<OperationsView> {
  const { operated } = await ask<{ operated?: OperationsView }>(place, `/api/v1${path === '' ? '/status' : path}`)
  if (operated === undefined) throw new CommandFailure(3, 'the balancer is of another version')
  return operated
}

/** For a 404: the balancer's sentence, with the name that was probably meant. Else the error itself. */
export async function explained(place: AdminPlace, target: Target, error: unknown): Promise<unknown> {
  const { service, backend } = target
  if (!(error instanceof Refused) || error.status !== 404 || service === undefined) return error
  const { services } = await ask<StatusView>(place, '/api/v1/status')
  const names = services.map(({ name }) => name)
  if (!names.includes(service)) return new CommandFailure(1, error.message + meant(service, names))
  const { backends } = await ask<ServiceView>(place, `/api/v1/services/${encodeURIComponent(service)}`)
  const known = backends.map(({ name }) => name)
  return new CommandFailure(1, error.message + meant(backend ?? '', known))
}

/** ` (did you mean shop?)`, or nothing when no name is near enough to be a typing error. */
function meant(name: string, names: readonly string[]): string {
  const best = nearest(name, names)
  return best === undefined ? '' : ` (did you mean ${best}?)`
}
