/** A runner under the test's eyes: its time, its probe's answers and all that it reports. */
import { ManualClock } from '../../lib/core/index.ts'
import {
  type Probe,
  ProbeFailure,
  type ProbeRecord,
  ProbeRunner,
  type ProbeRunnerOptions,
} from '../../lib/probes/index.ts'
import { healthOf } from './support.ts'

export const target = { host: '10.0.0.1', port: 80 }

export interface Call {
  readonly at: number
  readonly signal: AbortSignal
  readonly host: string
  pass(detail?: string): void
  fail(error?: Error): void
}

/** A probe whose checks the test answers, or that answers from a script: `+` pass, `-` fail, `.` never. */
export function scripted(clock: ManualClock, script = ''): Probe & { calls: Call[]; open: number; mostOpen: number } {
  const probe = {
    calls: [] as Call[],
    open: 0,
    mostOpen: 0,
    check: ({ host, port }: { host: string; port: number }, signal: AbortSignal) => {
      const done = Promise.withResolvers<{ detail: string }>()
      probe.mostOpen = Math.max(probe.mostOpen, ++probe.open)
      signal.addEventListener('abort', () => probe.open--)
      const call: Call = {
        at: clock.now(),
        signal,
        host: `${host}:${port}`,
        pass: (detail = 'HTTP 200') => {
          probe.open--
          done.resolve({ detail })
        },
        fail: (error = new ProbeFailure('status', 'HTTP 503')) => {
          probe.open--
          done.reject(error)
        },
      }
      const answer = script[probe.calls.length]
      probe.calls.push(call)
      if (answer === '+') call.pass()
      if (answer === '-') call.fail()
      return done.promise
    },
  }
  return probe
}

/** Lets promises settle without moving time. */
export const settle = (clock: ManualClock): Promise<void> => {
  clock.after(0, () => {})
  return clock.advance(0)
}

/** Starts a runner and lets an answer that is there at once arrive. */
export const begin = ({ runner, clock }: Pick<Watched, 'runner' | 'clock'>): Promise<void> => {
  runner.start()
  return settle(clock)
}

export interface Watched {
  readonly runner: ProbeRunner
  readonly probe: ReturnType<typeof scripted>
  readonly clock: ManualClock
  readonly results: ProbeRecord[]
  readonly changes: string[]
}

/** A runner without jitter whose every phase is a whole interval, unless told otherwise. */
export function watch(
  script: string,
  health: Record<string, unknown> = {},
  more: Partial<ProbeRunnerOptions> = {},
): Watched {
  const clock = new ManualClock()
  const probe = scripted(clock, script)
  const results: ProbeRecord[] = []
  const changes: string[] = []
  const runner = new ProbeRunner({
    probe,
    target,
    clock,
    health: healthOf({ jitter: 0, ...health }),
    random: () => 1,
    onResult: (result) => results.push(result),
    onHealth: (state, why) => changes.push(`${clock.now()} ${state}: ${why}`),
    ...more,
  })
  return { runner, probe, clock, results, changes }
}
