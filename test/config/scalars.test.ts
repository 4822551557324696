/** Durations, sizes, percentages, status codes and address blocks as they are written. */
import t from 'tap'
import { configFrom, file, service, toldOf } from './support.ts'

const http = (key: string, value: string) => file(service('a', `    ${key}: ${value}\n`, undefined, 'http'))
const a = async (key: string, value: string) => (await configFrom(http(key, value))).virtualServices['a']

t.test('durations', async (t) => {
  const right: [string, number][] = [
    ['0', 0],
    ['"0"', 0],
    ['0s', 0],
    ['500ms', 500],
    ['2s', 2000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
  ]
  for (const [text, ms] of right) t.equal((await a('drain', `{ timeout: ${text} }`))?.drain.timeout, ms, text)
  for (const text of [
    '5',
    '5.5',
    '-1s',
    '1d',
    '2 s',
    '2S',
    's',
    '""',
    '1e3s',
    '24.1h',
    '1m30s',
    'true',
    '[1s]',
    '.inf',
    '0x10',
  ])
    t.match(await toldOf(http('drain', `{ timeout: ${text} }`)), [/^7:23 virtualServices.a.drain.timeout: /], text)
})

t.test('a duration below what makes sense is refused', async (t) => {
  t.match(await toldOf(http('health', '{ interval: 49ms }')), [/49ms is below the least value, 50ms/])
})

t.test('rates', async (t) => {
  const limits = (rate: string) => http('limits', `{ requestsPerClient: { rate: ${rate} } }`)
  const right: [string, number][] = [
    ['100/s', 100],
    ['1.5/s', 1.5],
    ['30/m', 0.5],
    ['36/h', 0.01],
    ['1000000/s', 1_000_000],
  ]
  for (const [text, rate] of right)
    t.equal((await configFrom(limits(text))).virtualServices['a']?.limits.requestsPerClient?.rate, rate, text)
  for (const text of ['100', '100/d', '100 /s', '/s', '-1/s', '1e3/s', '100/S', 'true', '[1/s]', '""', '.inf/s'])
    t.match(await toldOf(limits(text)), [/requestsPerClient.rate: /], text)
  t.match(await toldOf(limits('35/h')), [/35\/h is below the least value, 0.01\/s/])
  t.match(await toldOf(limits('1000001/s')), [/1000001\/s is above the greatest value/])
})

t.test('sizes', async (t) => {
  const right: [string, number][] = [
    ['1024', 1024],
    ['"1024"', 1024],
    ['512B', 512],
    ['8KiB', 8192],
    ['1MiB', 1024 ** 2],
    ['3GiB', 3 * 1024 ** 3],
    ['0', 0],
  ]
  for (const [text, bytes] of right) t.equal((await a('http', `{ maxBody: ${text} }`))?.http.maxBody, bytes, text)
  for (const text of ['8KB', '8k', '-1', '1.5KiB', '8 KiB', '""', 'big', '1e3MiB', 'true', '9999999999999GiB'])
    t.match(await toldOf(http('http', `{ maxBody: ${text} }`)), [/^7:22 virtualServices.a.http.maxBody: /], text)
  t.match(await toldOf(http('http', '{ maxTarget: 63 }')), [/63 is below the least value, 64 bytes/])
  t.match(await toldOf(http('http', '{ maxTarget: 1MiB }')), [/1MiB is above the greatest value, 32768 bytes/])
})

t.test('percentages', async (t) => {
  const right: [string, number][] = [
    ['5%', 0.05],
    ['0%', 0],
    ['100%', 1],
    ['0.25', 0.25],
    ['12.5%', 0.125],
    ['1', 1],
  ]
  for (const [text, fraction] of right)
    t.equal((await a('health', `{ jitter: ${text} }`))?.health.jitter, fraction, text)
  for (const text of ['101%', '-5%', '5', '""', 'half', '"0x1"', 'true', '.nan'])
    t.match(await toldOf(http('health', `{ jitter: ${text} }`)), [/^7:23 virtualServices.a.health.jitter: /], text)
})

t.test('status codes', async (t) => {
  const right: [string, number[][]][] = [
    ['200', [[200, 200]]],
    ['200-399', [[200, 399]]],
    [
      '"200, 301-308"',
      [
        [200, 200],
        [301, 308],
      ],
    ],
    [
      '[200, 301-308]',
      [
        [200, 200],
        [301, 308],
      ],
    ],
  ]
  for (const [text, ranges] of right)
    t.strictSame((await a('health', `{ type: http, expect: ${text} }`))?.health.expect, ranges, text)
  for (const text of ['20', '600', '399-200', '[]', '""', '2xx', '200-', '"200,"', 'true'])
    t.match(await toldOf(http('health', `{ expect: ${text} }`)), [/^7:23 virtualServices.a.health.expect: /], text)
})

t.test('address blocks', async (t) => {
  for (const text of ['10.0.0.0/8', '10.1.2.3', '2001:db8::/32', '"::1"', '0.0.0.0/0'])
    t.equal((await a('http', `{ trustedProxies: [${text}] }`))?.http.trustedProxies.length, 1, text)
  for (const text of ['10.0.0.0/33', '10.0.0/8', '"::/129"', 'host', '10.0.0.0/8/8', '10.0.0.0/', '""'])
    t.match(await toldOf(http('http', `{ trustedProxies: [${text}] }`)), [/is not an address or CIDR block/], text)
})

t.test('backends have an IP address and one port', async (t) => {
  const { backends } = (await a('http', '{}')) ?? { backends: [] }
  t.strictSame(backends, [
    { name: '127.0.0.1:1', host: '127.0.0.1', port: 1, weight: 1, admin: 'ready', maxConnections: 0, backup: false },
  ])
  for (const text of [
    '10.0.0.1',
    '10.0.0.1:0',
    '10.0.0.1:1-2',
    '10.0.0.1:65536',
    'host:80',
    '"::1:80"',
    '"[1.2.3.4]:80"',
    ':80',
  ])
    t.match(
      await toldOf(file(service('a').replace('127.0.0.1:1]', `${text}]`))),
      [/^6:16 virtualServices.a.backends\[0\]: /],
      text,
    )
})
