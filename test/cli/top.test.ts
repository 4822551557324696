/** `evenkeel top`: what it shows, under tmux as a user sees it, and what it reckons. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { bytes, perSecond, quantile } from '../../lib/cli/rates.ts'
import { askRaw, setUp, untilAll } from '../admin/support.ts'
import { eventually } from '../support/eventually.ts'
import { CLI, run } from './support.ts'

const tmux = spawnSync('tmux', ['-V']).status === 0

/** A terminal of its own that runs a command, until the test ends. */
function terminal(t: { teardown(fn: () => unknown): void }, command: readonly string[]) {
  const server = ['-L', `evenkeel-${process.pid}`, '-f', '/dev/null']
  const ask = (...args: string[]): string => spawnSync('tmux', [...server, ...args], { encoding: 'utf8' }).stdout
  t.teardown(() => ask('kill-server'))
  const quoted = command.map((text) => `'${text}'`).join(' ')
  ask('new-session', '-d', '-x', '80', '-y', '24', `${quoted}; echo "ended with $?"; exec cat`)
  return {
    screen: () => ask('capture-pane', '-p').split('\n'),
    keys: (...keys: string[]) => ask('send-keys', ...keys),
    resize: (x: number, y: number) => ask('resize-window', '-x', String(x), '-y', String(y)),
  }
}

t.test(
  'it fills a terminal of 80 by 24, follows its size, and q gives the screen back',
  { skip: tmux ? false : 'needs tmux' },
  async (t) => {
    const { balancer } = await setUp(t)
    await untilAll(balancer, 'web', 'up')
    const { screen, keys, resize } = terminal(t, [process.execPath, CLI, 'top', '--admin', balancer.admin])
    const has = (pattern: RegExp) => screen().some((line) => pattern.test(line))
    await eventually('the first screen', () => has(/^SERVICE +PROTO +UP +CONNS/), 15_000)
    t.match(screen()[0], /^evenkeel \d\S+ {2}up \d+s {2}1 threads {2}2 services$/)
    t.equal(screen()[1], 'the appliance: started')
    t.ok(has(/^web +http +2\/2 +0 +0 +/))
    t.ok(has(/^web\/a +up +\d+s +0 +/))
    const storm = setInterval(() => void fetch(`http://127.0.0.1:${balancer.port('web')}/`).catch(() => {}), 50)
    t.teardown(() => clearInterval(storm))
    await eventually('rates and latencies', () => has(/^web +http .* [1-9]\d*(?:\.\d)? +0 .* <\S+ +<\S+$/), 15_000)
    clearInterval(storm)
    await askRaw(balancer.admin, '/api/v1/services/web/backends/a/stop', { method: 'POST' })
    await eventually('the new state', () => has(/^web\/a +maintenance/), 15_000)
    await askRaw(balancer.admin, '/api/v1/services/web/stop', { method: 'POST' })
    await eventually('the standing', () => has(/^web: stopped/), 15_000)
    resize(60, 8)
    await eventually('the small screen', () => has(/^… \d+ more lines$/), 15_000)
    resize(120, 40)
    await eventually('the large screen', () => !has(/more lines/) && has(/^echo\/.* +up /), 15_000)
    keys('q')
    await eventually('the end', () => has(/^ended with 0$/), 15_000)
    t.notOk(has(/SERVICE/), 'the screen is as it was before')
  },
)

t.test('without a terminal it is one look, with rates', async (t) => {
  const { balancer } = await setUp(t)
  await untilAll(balancer, 'web', 'up')
  const { code, stdout, stderr } = await run(t, ['top', '--admin', balancer.admin])
  t.strictSame([code, stderr], [0, ''])
  t.match(stdout, /^SERVICE +PROTO/m)
  t.match(stdout, /^web\/a +up/m)
  t.notMatch(stdout, '\x1b')
  t.equal((await run(t, ['top', '--admin', '127.0.0.1:1'])).code, 3)
})

t.test('numbers are short', (t) => {
  t.strictSame([0, 0.04, 3.21, 35.4, 9999.4, 12_345].map(perSecond), ['0', '0.0', '3.2', '35', '9999', '12.3k'])
  t.strictSame([0, 812, 1434, 120 * 1024 ** 2, 5 * 1024 ** 5].map(bytes), ['0', '812', '1.4K', '120M', '5120T'])
  t.end()
})

t.test('a quantile is the bound of its bucket', (t) => {
  const bounds = [0.0005, 0.01, 1, 60]
  t.equal(quantile([0, 0, 0, 0, 0], bounds, 0.5), '-')
  t.equal(quantile([1, 0, 0, 0, 0], bounds, 0.99), '<0.5ms')
  t.equal(quantile([50, 49, 1, 0, 0], bounds, 0.5), '<0.5ms')
  t.equal(quantile([50, 49, 1, 0, 0], bounds, 0.99), '<10ms')
  t.equal(quantile([0, 0, 1, 0, 0], bounds, 0.5), '<1s')
  t.equal(quantile([0, 0, 0, 0, 3], bounds, 0.5), '>60s')
  t.end()
})
