/** Starts processes of clients. */
import { join } from 'node:path'
import type { ClientOptions } from './client-process.ts'
import { Hand } from './hand.ts'
import type { Stage } from './stage.ts'

export type Mix = Pick<ClientOptions, 'rate' | 'clients'> & Partial<Pick<ClientOptions, 'relayed'>>

/** One for each mix; each goes to `hands` as soon as it runs. */
export async function startClients(
  { journals, ports, fronts, ca }: Stage,
  { mixes, seed }: { readonly mixes: readonly Mix[]; readonly seed: number },
  hands: Hand[],
): Promise<Hand[]> {
  const clients: Hand[] = []
  for (const [i, mix] of mixes.entries()) {
    const letter = String.fromCharCode('a'.charCodeAt(0) + i)
    const options: ClientOptions = {
      ...{ letter, ca, relayed: false, ...mix },
      ports: mix.relayed === true ? fronts : ports,
      seed: seed + 1000 * (i + 1),
      journal: join(journals, `clients-${letter}`),
    }
    const hand = await Hand.start(`the clients ${letter}`, './client-process.ts', [JSON.stringify(options)])
    clients.push(hand)
    hands.push(hand)
  }
  return clients
}
