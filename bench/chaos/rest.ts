/** What must hold when no client is left: nothing is counted any more, nothing is open, nothing has ended by itself. */
import { readdirSync } from 'node:fs'
import { eventually } from '../../test/support/eventually.ts'
import { sumOf } from '../siege/target.ts'
import type { Stage } from './stage.ts'

const MOST_MORE_DESCRIPTORS = 8 // of idle connections to backends, which come and go
const ACTIVE = ['evenkeel_client_connections_active', 'evenkeel_backend_active']

export const descriptorsOf = ({ balancer }: Stage): number => readdirSync(`/proc/${balancer.pid}/fd`).length

/** Each rejects with what does not hold within so many ms. `before`: descriptors at the beginning. */
export function checksOf(stage: Stage, before: number, patience: number): (() => Promise<unknown>)[] {
  const inactive = ACTIVE.map((family) => () => {
    const none = async () => sumOf(await stage.balancer.metrics(), family) === 0
    return eventually(`${family} is 0 when no client is left`, none, patience)
  })
  const closed = () => {
    const most = before + MOST_MORE_DESCRIPTORS
    const few = () => descriptorsOf(stage) <= most
    return eventually(`from ${before} descriptors back to at most ${most}`, few, patience)
  }
  const alive = async () => {
    const died = sumOf(await stage.balancer.metrics(), 'evenkeel_data_thread_restarts_total')
    if (died !== stage.ended) throw new Error(`${died} data threads ended, ${stage.ended} of them on purpose`)
  }
  return [...inactive, closed, alive]
}
