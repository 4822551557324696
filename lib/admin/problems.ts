/** What an operator should look at. */
import { firstLine, type Manager, type Reloads, type RunningService } from '../service/index.ts'
import { DAY_MS } from './certificate-view.ts'
import { iso } from './iso.ts'
import { upOf } from './service-view.ts'
import type { Succession } from './upgrade.ts'

export interface Problem {
  /** '': the appliance. */
  readonly service: string
  readonly message: string
}

const WARN_DAYS = 14

interface Source {
  readonly manager: Manager
  readonly reloads: Reloads
  readonly succession: Succession
}

export function problemsOf({ manager, reloads, succession }: Source, now: number): Problem[] {
  const of = (service: string, messages: readonly string[]) => messages.map((message) => ({ service, message }))
  return [
    ...of('', [...reloadProblems(reloads), ...upgradeProblems(succession), ...ownProblems(manager)]),
    ...[...manager.services.values()].flatMap((each) => of(each.name, serviceProblems(each, manager, now))),
  ]
}

const upgradeProblems = ({ last }: Succession): string[] =>
  last === null ? [] : [`the upgrade at ${iso(last.at)} failed: ${last.sentence}`]

/** The files are not what is in force. */
const reloadProblems = ({ last }: Reloads): string[] =>
  last === null || last.result === 'applied' || last.result === 'refused'
    ? []
    : [`the last reload failed: ${last.sentence}`]

/** What is wrong with the appliance itself. */
function ownProblems(manager: Manager): string[] {
  const { last, count } = manager.mishaps
  const problems: string[] = []
  for (const { thread, state, row, why } of manager.threads?.status() ?? []) {
    if (state === 'ending') problems.push(`data thread ${thread} is being ended: ${firstLine(why)}`)
    else if (state !== 'running' && why !== '')
      problems.push(`data thread ${thread} does not serve (${row} deaths in a row): ${firstLine(why)}`)
  }
  if (last !== null)
    problems.push(`${count} unexpected errors in the control thread, the last at ${iso(last.at)}: ${last.message}`)
  return problems
}

function serviceProblems(service: RunningService, manager: Manager, now: number): string[] {
  const problems: string[] = []
  const { trackers, certificates } = service
  const failing = trackers.filter(({ facts }) => facts.admin === 'ready' && facts.health === 'failing')
  if (upOf(service) === 0) problems.push('no backend is up')
  else if (failing.length > 0) problems.push(`${failing.map(({ name }) => name).join(', ')} fail their probes`)
  for (const { name, file, credentials, problem } of certificates?.certificates ?? []) {
    const { notAfter, names } = credentials
    const acme = manager.security.orders.statusOf(file)
    const why = acme === null || acme.error === '' ? '' : `: ${acme.error}`
    if (acme?.temporary === true) problems.push(`the certificate for ${names.join(', ')} is a temporary one${why}`)
    else if (why !== '') problems.push(`the certificate for ${names.join(', ')} can't be renewed${why}`)
    const days = Math.floor((notAfter - now) / DAY_MS)
    if (notAfter <= now) problems.push(`the certificate ${name} expired at ${iso(notAfter)}`)
    else if (days < WARN_DAYS && acme === null) problems.push(`the certificate ${name} expires at ${iso(notAfter)}`)
    if (problem !== null) problems.push(`the certificate ${name} was changed and can't be used: ${problem}`)
  }
  for (const [pool, { tls }] of service.view.pools.entries())
    if (tls !== null && !tls.verified)
      problems.push(
        `backends${pool === 0 ? '' : ` of pool ${service.view.pools[pool]?.name}`} are not verified (backendTls.insecureSkipVerify)`,
      )
  return problems
}
