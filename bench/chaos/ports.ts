/** Free ports, each of which stays the same when its owner is started again. */
import { refusedPort } from '../../test/support/backend.ts'
import type { Service } from './plan.ts'

/** Of a backend. */
export type Ports = Readonly<Record<'http' | 'tcp', number>>

const taken = new Set<number>()

export async function newPort(): Promise<number> {
  let port = await refusedPort()
  while (taken.has(port)) port = await refusedPort()
  taken.add(port)
  return port
}

export const backendPorts = async (): Promise<Ports> => ({ http: await newPort(), tcp: await newPort() })

export const servicePorts = async (): Promise<Record<Service, number>> => ({
  ...{ web: await newPort(), secure: await newPort() },
  ...{ tcp: await newPort(), tls: await newPort() },
})
