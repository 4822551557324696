/** The balancer's configuration, in several variants that differ really. */
import { join } from 'node:path'
import { THREADS } from './plan.ts'

export const VARIANTS = 4
export const ACCESS_LOG = 'access.log'

export type Balance = 'round-robin' | 'least-connections'

/** A backend as the balancer is told it. */
export interface Entry {
  readonly name: string
  readonly address: string
}

export interface Surroundings {
  /** Of the certificates. */
  readonly folder: string
  /** Of state and logs. */
  readonly disk: string
  readonly ports: Readonly<Record<'web' | 'secure' | 'tcp' | 'tls' | 'extra', number>>
  readonly backends: Readonly<Record<'http' | 'tcp', readonly Entry[]>>
  /** Of `web` and `secure`. */
  readonly balance: Balance | undefined
  /** Below `VARIANTS`. */
  readonly variant: number
}

export interface Configuration extends Readonly<Record<string, unknown>> {
  readonly virtualServices: Readonly<Record<string, unknown>>
}

export function configurationOf({ folder, disk, ports, backends, balance, variant }: Surroundings): Configuration {
  const { http, tcp } = backends
  const listen = (service: keyof typeof ports) => [`127.0.0.1:${ports[service]}`]
  const tls = { certificates: [{ cert: join(folder, 'tls.pem'), key: join(folder, 'tls.key') }] }
  const timeouts = { connect: '2s', firstByte: '3s', body: '4s' }
  const asked = balance === undefined ? {} : { balance }
  // What differs: the policy, a time, another name for a backend, and services that come, go and change.
  const [odd, high] = [variant % 2 === 1, variant >= 2]
  const twin = odd ? [{ ...http[0], name: 'twin' }] : []
  return {
    appliance: { threads: THREADS, stateFile: join(disk, 'state.json'), drain: { timeout: '1s' } },
    accessLog: { path: join(disk, ACCESS_LOG) },
    defaults: {
      health: { interval: '200ms', fastInterval: '100ms', downInterval: '200ms', timeout: '1s', fall: 2, rise: 2 },
      drain: { timeout: '20s' }, // longer than a stream lives: nothing is cut because a reload took its backend
      timeouts,
    },
    virtualServices: {
      web: { protocol: 'http', listen: listen('web'), ...asked, backends: [...http, ...twin] },
      secure: {
        ...{ protocol: 'https', listen: listen('secure'), tls, ...asked, backends: http },
        timeouts: { ...timeouts, keepAlive: high ? '50s' : '60s' },
      },
      tcp: { protocol: 'tcp', listen: listen('tcp'), balance: high ? 'random-two' : 'round-robin', backends: tcp },
      tls: { protocol: 'tls', listen: listen('tls'), tls, balance: 'least-connections', backends: tcp },
      ...(odd ? { extra: { protocol: 'tcp', listen: listen('extra'), backends: tcp } } : {}),
    },
  }
}
