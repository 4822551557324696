/** The table of the balancers that a bench can measure; evenkeel always takes part. */
import type { Peer } from './contract.ts'
import { evenkeel } from './evenkeel.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy } from './http-proxy.ts'
import { nginx } from './nginx.ts'

export type { Certificate, Peer, Running } from './contract.ts'
export const SUBJECT: Peer = evenkeel
export const PEERS: readonly Peer[] = [haproxy, nginx, httpProxy]
