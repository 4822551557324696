/** Runs an attack while a normal client goes on, and tells what the balancer looks like before, meanwhile and after. */
import { type LoadResult, problemsOf, runPaced } from '../load.ts'
import { type Finding, promised, type Siege, told } from './contract.ts'

const NORMAL = { path: '/1k', connections: 8, rate: 500, warmup: 1, shared: true }
const QUIET_S = 6
const SLOWER = 3 // times the quiet p99
const MIB = 1024 * 1024
const MEMORY_SHARE = 1.1 // a runtime does not give back every page
const MEMORY_SPARE = 8 * MIB

const ms = (value: number): string => `${value.toFixed(2)} ms`
/** p50 and p99. */
export const times = ({ p50Ms, p99Ms }: LoadResult): string => `${ms(p50Ms)} / ${ms(p99Ms)}`
const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`

/** The normal client, for so long. */
export const ask = ({ processes, target, signal }: Siege, seconds: number, address = target.web): Promise<LoadResult> =>
  runPaced(processes, address, { ...NORMAL, seconds }, signal)

/** What the normal client saw during the attack, next to the quiet before and after. @param elsewhere what it saw while others were attacked */
function normalFindings(quiet: readonly LoadResult[], elsewhere: LoadResult | null, meanwhile: LoadResult): Finding[] {
  const calm = Math.max(...quiet.map(({ p99Ms }) => p99Ms), elsewhere?.p99Ms ?? 0)
  const problems = problemsOf(meanwhile)
  return [
    told('normal client, quiet p50 / p99', quiet.map(times).join(', ')),
    promised(
      'normal client, p50 / p99',
      times(meanwhile),
      `p99 at most ${SLOWER} × ${elsewhere === null ? 'quiet' : 'quiet, or elsewhere'}`,
      meanwhile.p99Ms <= SLOWER * calm,
    ),
    promised('normal client, errors', problems.join(', ') || 'none', 'none', problems.length === 0),
  ]
}

/**
 * @param seconds how long slow clients take at least; undefined: a busy attack, with load of its own
 * @param elsewhere what the normal client saw while the same attack went elsewhere: that much is the machine's. null: not known
 */
export async function besieged(
  siege: Siege,
  seconds: number | undefined,
  attack: () => Promise<Finding[]>,
  elsewhere: LoadResult | null = null,
): Promise<Finding[]> {
  const { target, signal, note } = siege
  const quiet = seconds === undefined ? [] : [await ask(siege, QUIET_S)]
  const before = await target.atRest(signal)
  const peak = target.watchMemory()
  note('attacking')
  const [own, meanwhile] = await Promise.all([
    attack(),
    seconds === undefined ? undefined : ask(siege, seconds),
  ]).finally(peak)
  const most = peak()
  note('waiting for it to come to rest')
  const after = await target.settled(before, signal)
  if (seconds !== undefined) quiet.push(await ask(siege, QUIET_S))
  const allowed = Math.max(before.memory, target.restMemory) * MEMORY_SHARE + MEMORY_SPARE
  const memory = `${mib(before.memory)}, ${mib(most)}, ${mib(after.memory)}`
  return [
    ...own,
    ...(meanwhile === undefined ? [] : normalFindings(quiet, elsewhere, meanwhile)),
    told('longest turn of the event loop, before and until after', `${ms(before.turn)}, ${ms(after.turn)}`),
    promised('active counts left', String(after.active), '0', after.active === 0),
    promised(
      'descriptors before, after',
      `${before.descriptors}, ${after.descriptors}`,
      'no more than before',
      after.descriptors <= before.descriptors,
    ),
    seconds === undefined
      ? told('memory before, most, after', memory) // busy, a runtime lets its heap grow
      : promised('memory before, most, after', memory, 'as before + 10 % + 8 MiB', after.memory <= allowed),
    promised('data threads that died', String(after.deaths - before.deaths), '0', after.deaths === before.deaths),
  ]
}
