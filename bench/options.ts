/** The command line of the bench. */
import { parseArgs } from 'node:util'
import { PEERS, type Peer } from './peers/index.ts'
import { isPaced, SCENARIOS, type Scenario } from './scenarios.ts'

export const USAGE = `usage: node bench/run.ts [options]
  --rounds N        measured runs of each balancer (7; with --memory 3)
  --seconds N       length of a run (2)
  --warmup N        load before the first round of a scenario, in seconds (2)
  --only A,B        scenarios: ${SCENARIOS.map((scenario) => scenario.name).join(', ')} (all)
  --peers A,B       compare with: ${PEERS.map((peer) => peer.name).join(', ')} (all)
  --latency         measure what is added to a request's time at half of the saturation load instead
                    (of http-1k, http-1m, tcp; with haproxy and nginx unless told otherwise)
  --memory          measure the memory of idle keep-alive connections instead
  --connections N   how many of them (5000)
  --tls             of connections over TLS (2000 of them)
  --json FILE       write all figures
  --markdown FILE   write the tables (they are printed in any case)
`

export interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly Peer[]
  readonly latency: boolean
  readonly memory: boolean
  readonly connections: number
  /** Of which listener, where memory is measured. */
  readonly held: 'http' | 'https'
  readonly json: string | undefined
  readonly markdown: string | undefined
}

/** A command line that can't be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

function count(name: string, text: string | undefined, fallback: number, least: number): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > 100_000)
    throw new UsageError(`--${name} ${text}: expected a whole number from ${least} to 100000`)
  return value
}

function choose<T extends { readonly name: string }>(
  name: string,
  text: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (text === undefined) return all
  const names = text.split(',').filter((part) => part !== '')
  const unknown = names.find((part) => !all.some((item) => item.name === part))
  if (unknown !== undefined)
    throw new UsageError(`--${name} ${unknown}: expected some of ${all.map((item) => item.name).join(', ')}`)
  return all.filter((item) => names.includes(item.name))
}

export function parseOptions(args: readonly string[]): Options | 'help' {
  let values: Partial<Record<string, string | boolean>>
  try {
    values = parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        warmup: { type: 'string' },
        only: { type: 'string' },
        peers: { type: 'string' },
        latency: { type: 'boolean' },
        memory: { type: 'boolean' },
        tls: { type: 'boolean' },
        connections: { type: 'string' },
        json: { type: 'string' },
        markdown: { type: 'string' },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  if (values['help'] === true) return 'help'
  const given = (name: string) => {
    const value = values[name]
    return typeof value === 'string' ? value : undefined
  }
  const memory = values['memory'] === true
  const latency = values['latency'] === true
  const tls = values['tls'] === true
  if (tls && !memory) throw new UsageError('--tls: expected --memory with it')
  if (memory && latency) throw new UsageError('--latency and --memory: expected one of them')
  // http-proxy saturates so early that the load of half of it would say nothing of the others
  const peers = latency ? PEERS.filter(({ name }) => name !== 'http-proxy') : PEERS
  return {
    rounds: count('rounds', given('rounds'), memory ? 3 : 7, 1),
    seconds: count('seconds', given('seconds'), 2, 1),
    warmup: count('warmup', given('warmup'), 2, 0),
    scenarios: choose('only', given('only'), latency ? SCENARIOS.filter(isPaced) : SCENARIOS),
    peers: given('peers') === undefined ? peers : choose('peers', given('peers'), PEERS),
    latency,
    memory,
    connections: count('connections', given('connections'), tls ? 2000 : 5000, 1),
    held: tls ? 'https' : 'http',
    json: given('json'),
    markdown: given('markdown'),
  }
}
