/** A balancer with a service of each kind of use to the tests of the admin listener. */
import { request } from 'node:http'
import type { BackendView, ServiceView } from '../../lib/admin/index.ts'
import { startBackend, startTcpBackend, type Teardown } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

/** Probes that are quick, so that a test sees a flip within a fraction of a second. */
export const QUICK = {
  type: 'tcp',
  interval: '50ms',
  fastInterval: '50ms',
  downInterval: '50ms',
  fall: 2,
  rise: 2,
} as const

export interface Setup {
  readonly balancer: Balancer
  readonly backends: readonly string[]
}

/** `web` over two backends and `echo` over one, all up. */
export async function setUp(t: Teardown, more: object = {}): Promise<Setup> {
  const backends = await Promise.all([startBackend(t, 'a'), startBackend(t, 'b')])
  const echo = await startTcpBackend(t)
  const listen = ['127.0.0.1:0']
  const balancer = await startBalancer(t, {
    ...more,
    virtualServices: {
      web: {
        listen,
        protocol: 'http',
        health: QUICK,
        backends: [{ name: 'a', address: backends[0]?.address, weight: 3 }, backends[1]?.address],
      },
      echo: { listen, protocol: 'tcp', health: QUICK, backends: [echo.address] },
    },
  })
  return { balancer, backends: backends.map(({ address }) => address) }
}

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
}

/** Asks with any Host, method and body, which fetch does not let one choose. */
export function askRaw(
  admin: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(admin) ?? []
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export async function json<T>(balancer: Balancer, path: string): Promise<T> {
  return (await (await balancer.get(path)).json()) as T
}

export const serviceOf = (balancer: Balancer, name: string): Promise<ServiceView> =>
  json<ServiceView>(balancer, `/api/v1/services/${name}`)

/** Waits until every backend of a service is in that state. */
export async function untilAll(balancer: Balancer, service: string, state: BackendView['state']): Promise<ServiceView> {
  return eventually(`${service} ${state}`, async () => {
    const view = await serviceOf(balancer, service)
    return view.backends.every((each) => each.state === state) && view
  })
}
