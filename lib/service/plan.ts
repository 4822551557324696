/** What a reload would do, in full, and to how many flows. Pure, but for the numbers of flows that it is told. */
import {
  type Config,
  type Difference,
  differences,
  diffServices,
  needsRestart,
  partsOf,
  type ServiceConfig,
} from '../config/index.ts'
import { formatAddress } from '../core/index.ts'

type Step = 'add' | 'change' | 'remove'

export interface BackendPlan {
  readonly name: string
  readonly step: Step
  readonly address: string
  readonly differences: readonly Difference[]
  /** Flows that drain, for at most `drainMs`; 0: none does. */
  readonly flows: number
}

export interface ServicePlan {
  readonly name: string
  readonly step: Step
  readonly differences: readonly Difference[]
  readonly backends: readonly BackendPlan[]
  /** Addresses, as configured. */
  readonly opened: readonly string[]
  readonly closed: readonly string[]
  /** Addresses that another service has at present: the sockets go over. */
  readonly takenOver: readonly { readonly address: string; readonly from: string }[]
  /** Flows that drain, of the service as a whole or of backends that go. */
  readonly flows: number
  readonly drainMs: number
}

export interface Plan {
  /** In the order of the new configuration, and then what goes. */
  readonly services: readonly ServicePlan[]
  /** Options of the process as a whole. */
  readonly differences: readonly Difference[]
  /** What of it a running process can't change; where there is any, a reload is refused. */
  readonly refusals: readonly string[]
  /** What else keeps it from coming about: a port that is taken, a file that can't be used. Sentences. */
  readonly obstacles: readonly string[]
}

/** Flows under way at present. `backend` null: of the service. */
export type FlowsOf = (service: string, backend: string | null) => number

export function planOf(before: Config, after: Config, flowsOf: FlowsOf, obstacles: readonly string[] = []): Plan {
  const { added, changed, removed } = diffServices(before, after)
  const owners = new Map<string, string>()
  for (const [name, service] of Object.entries(before.virtualServices))
    for (const address of addressesOf(service)) if (!address.endsWith(':0')) owners.set(address, name)
  const { virtualServices: old, ...applianceBefore } = before
  const { virtualServices: now, ...applianceAfter } = after
  const touched = new Set([...added, ...changed])
  const services = Object.keys(now).filter((name) => touched.has(name))
  return {
    services: [
      ...services.map((name) => servicePlan(name, old[name], now[name], owners, flowsOf)),
      ...removed.map((name) => servicePlan(name, old[name], undefined, owners, flowsOf)),
    ],
    differences: differences(applianceBefore, applianceAfter),
    refusals: needsRestart(before, after),
    obstacles,
  }
}

function servicePlan(
  name: string,
  before: ServiceConfig | undefined,
  after: ServiceConfig | undefined,
  owners: ReadonlyMap<string, string>,
  flowsOf: FlowsOf,
): ServicePlan {
  const step: Step = before === undefined ? 'add' : after === undefined ? 'remove' : 'change'
  const backends = backendPlans(name, before, after, flowsOf)
  const had = before === undefined ? [] : addressesOf(before)
  const has = after === undefined ? [] : addressesOf(after)
  const fresh = has.filter((address) => !had.includes(address))
  const taken = fresh.filter((address) => owners.has(address))
  return {
    name,
    step,
    differences:
      before === undefined || after === undefined ? [] : differences(partsOf(before).options, partsOf(after).options),
    backends,
    opened: fresh.filter((address) => !taken.includes(address)),
    closed: had.filter((address) => !has.includes(address)),
    takenOver: taken.map((address) => ({ address, from: owners.get(address) ?? '' })),
    flows: step === 'remove' ? flowsOf(name, null) : backends.reduce((sum, { flows }) => sum + flows, 0),
    drainMs: (before ?? after)?.drain.timeout ?? 0,
  }
}

function backendPlans(
  service: string,
  before: ServiceConfig | undefined,
  after: ServiceConfig | undefined,
  flowsOf: FlowsOf,
): BackendPlan[] {
  const old = before === undefined ? new Map() : partsOf(before).backends
  const now = after === undefined ? new Map() : partsOf(after).backends
  const plans: BackendPlan[] = []
  for (const [name, backend] of now) {
    const address = formatAddress(backend.host, backend.port)
    const known = old.get(name)
    const changes = known === undefined ? [] : differences(known, backend)
    if (known === undefined) plans.push({ name, step: 'add', address, differences: [], flows: 0 })
    else if (changes.length > 0) plans.push({ name, step: 'change', address, differences: changes, flows: 0 })
  }
  for (const [name, backend] of old) {
    if (now.has(name)) continue
    const address = formatAddress(backend.host, backend.port)
    plans.push({ name, step: 'remove', address, differences: [], flows: flowsOf(service, name) })
  }
  return plans
}

const addressesOf = ({ listen }: ServiceConfig): string[] =>
  listen.map(({ host, first, last }) => formatAddress(host, first) + (last === first ? '' : `-${last}`))
