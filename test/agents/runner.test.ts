/** The runner's schedule, its smoothing, and what it does when an agent falls silent. Time is the test's. */
import t from 'tap'
import {
  AgentFailure,
  type AgentReport,
  AgentRunner,
  type AgentRunnerOptions,
  parseAgentLine,
} from '../../lib/agents/index.ts'
import { ManualClock } from '../../lib/core/index.ts'

const load = (n: number): AgentReport => ({ ...parseAgentLine('up ready'), load: n })
const INTERVAL = 7000

type Answer = AgentReport | 'fails' | 'hangs'

/** A runner without jitter or phase over a list of answers; the last one is given again and again. */
function watch(answers: readonly Answer[], more: Partial<AgentRunnerOptions> = {}) {
  const clock = new ManualClock()
  const log: string[] = []
  const asked: number[] = []
  let aborted = 0
  const runner = new AgentRunner({
    agent: {
      ask: (_target, signal) => {
        signal.addEventListener('abort', () => aborted++)
        asked.push(clock.now())
        const answer = answers[Math.min(asked.length, answers.length) - 1]
        if (answer === undefined || answer === 'hangs') return new Promise(() => {})
        return answer === 'fails' ? Promise.reject(new AgentFailure('HTTP 500')) : Promise.resolve(answer)
      },
    },
    target: { host: '10.0.0.1', port: 80 },
    load: { port: undefined, interval: INTERVAL, timeout: 2000 },
    clock,
    random: () => 0.5,
    onReport: (report) => log.push(`report ${report.load ?? report.health}`),
    onLoad: (value) => log.push(`load ${value?.toFixed(1) ?? 'unknown'}`),
    onTrouble: (detail) => log.push(detail === '' ? 'mended' : `trouble: ${detail}`),
    ...more,
  })
  /** Goes on for so many ms; answers arrive. */
  const go = async (ms: number): Promise<void> => {
    clock.after(0, () => {})
    await clock.advance(0)
    await clock.advance(ms)
  }
  return { runner, clock, log, asked, go, aborts: () => aborted }
}

t.test('asks at once, after half an interval as its phase says, and then every interval', async (t) => {
  const { runner, asked, go } = watch([load(1)])
  runner.start()
  runner.start()
  await go(3 * INTERVAL)
  t.same(asked, [0, 3500, 10_500, 17_500])
})

t.test('jitter moves a question by a twentieth of the interval at most, and a delay its first one', async (t) => {
  let n = 0
  const { runner, asked, go } = watch([load(1)], { random: () => [0, 0, 1 - 1e-9][n++ % 3] ?? 0, startDelay: 100 })
  runner.start()
  await go(20_000)
  t.same(asked.map(Math.round), [100, 100, 100 + 6650, 100 + 6650 + 7350])
})

t.test(
  'the first load counts as it is, the next ones by four fifths: two reports make 24 of 25 parts of a change',
  async (t) => {
    const { runner, log, go } = watch([load(0), load(100 - 10), load(90), load(90)])
    runner.start()
    await go(3 * INTERVAL)
    t.same(
      log.filter((line) => line.startsWith('load')),
      ['load 0.0', 'load 72.0', 'load 86.4', 'load 89.3'],
    )
  },
)

t.test('full is full at once', async (t) => {
  const { runner, go } = watch([load(0), load(100)])
  runner.start()
  await go(INTERVAL)
  t.equal(runner.load, 100)
})

t.test('a load is forgotten three intervals after it was told, and comes back as it is then', async (t) => {
  const { runner, log, go } = watch([load(50), 'fails', 'fails', 'fails', 'fails', load(10)])
  runner.start()
  await go(3 * INTERVAL - 1)
  t.equal(runner.load, 50)
  await go(1)
  t.equal(runner.load, null)
  await go(2 * INTERVAL)
  t.equal(runner.load, 10)
  t.same(log, ['load 50.0', 'report 50', 'trouble: HTTP 500', 'load unknown', 'mended', 'load 10.0', 'report 10'])
})

t.test('no answer in time is a failure; the question is aborted, and a late answer is nobody’s', async (t) => {
  const { runner, log, asked, go, aborts } = watch(['hangs', load(5)])
  runner.start()
  await go(1999)
  t.same(log, [])
  await go(1)
  t.same(log, ['trouble: no answer within 2000 ms'])
  t.equal(aborts(), 1)
  t.equal(runner.last?.ok, false)
  await go(INTERVAL)
  t.equal(asked.length, 2)
  t.same(log.slice(1), ['mended', 'load 5.0', 'report 5'])
})

t.test('after the stop nothing is asked or told, whoever stops it', async (t) => {
  const { runner, log, asked, go, aborts } = watch(['hangs'])
  runner.start()
  await go(10)
  runner.stop()
  await go(5 * INTERVAL)
  t.same([log, asked.length, aborts()], [[], 1, 1])

  const told: string[] = []
  const own = watch([load(3)], { onLoad: () => own.runner.stop(), onReport: () => told.push('report') })
  own.runner.start()
  await own.go(5 * INTERVAL)
  t.same([told, own.asked.length], [[], 1])
})
