/** The bench's command line. */
import t from 'tap'
import { type Options, parseOptions } from '../../bench/options.ts'

function parsed(...args: string[]): Options {
  const options = parseOptions(args)
  if (options === 'help') throw new Error('answered with help')
  return options
}
const names = (items: readonly { name: string }[]) => items.map((item) => item.name).join()

t.test('without options everything is measured in seven rounds of two seconds', async (t) => {
  const options = parsed()
  t.match(options, { rounds: 7, seconds: 2, warmup: 2, memory: false })
  t.equal(names(options.scenarios), 'http-1k,http-browser,http-close,http-1m,tcp,https-1k,tls-full,tls-resumed,http2')
  t.equal(names(options.peers), 'haproxy,nginx,http-proxy')
})

t.test('scenarios and peers are chosen by name', async (t) => {
  const options = parsed('--only', 'tcp,http-1k', '--peers', 'nginx')
  t.equal(names(options.scenarios), 'http-1k,tcp')
  t.equal(names(options.peers), 'nginx')
})

t.test('memory takes three rounds unless told otherwise', async (t) => {
  t.match(parsed('--memory'), { memory: true, rounds: 3, connections: 5000 })
  t.match(parsed('--memory', '--tls'), { held: 'https', connections: 2000 })
  t.match(parsed('--memory', '--rounds', '1', '--connections', '100'), { rounds: 1, connections: 100 })
})

t.test('latency takes the scenarios that can be paced, and the peers that saturate late', async (t) => {
  const options = parsed('--latency')
  t.equal(names(options.scenarios), 'http-1k,http-1m,tcp')
  t.equal(names(options.peers), 'haproxy,nginx')
  t.equal(names(parsed('--latency', '--peers', 'http-proxy').peers), 'http-proxy')
})

t.test('help is not a run', async (t) => {
  t.equal(parseOptions(['--help']), 'help')
})

t.test('mistakes are told with what would be right', async (t) => {
  for (const [args, expected] of [
    [['--rounds', '0'], /--rounds 0: expected a whole number from 1/],
    [['--seconds', '1.5'], /--seconds 1.5: expected a whole number/],
    [['--only', 'http-2k'], /--only http-2k: expected some of http-1k/],
    [['--peers', 'envoy'], /--peers envoy: expected some of haproxy/],
    [['--latency', '--memory'], /expected one of them/],
    [['--tls'], /expected --memory with it/],
    [['--latency', '--only', 'http-close'], /--only http-close: expected some of http-1k, http-1m, tcp/],
    [['--round', '1'], /round/],
    [['tcp'], /tcp/],
  ] as const) {
    t.throws(() => parseOptions(args), { name: 'UsageError', message: expected }, args.join(' '))
  }
})
