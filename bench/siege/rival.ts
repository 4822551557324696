/** Another balancer in our place: what floods do to it tells what this machine does to any. */

import type { Setup } from '../peers/contract.ts'
import { PEERS, type Peer } from '../peers/index.ts'

export interface Rival {
  readonly name: string
  readonly web: string
  readonly h2: string
  readonly tls: string
}

/** Those that have a listener for every flood. */
export const RIVALS: readonly Peer[] = PEERS.filter(({ name }) => name === 'haproxy')

/** @throws when it is not there */
export async function startRival(peer: Peer, setup: Setup): Promise<Rival> {
  const found = peer.find()
  if ('missing' in found) throw new Error(found.missing)
  const { listeners, h2c } = await peer.start(setup)
  return { name: `${peer.name} ${found.version}`, web: listeners.http ?? '', h2: h2c ?? '', tls: listeners.https ?? '' }
}
