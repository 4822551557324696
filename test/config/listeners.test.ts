/** Which listening addresses are refused beside each other. */
import t from 'tap'
import { configFrom, file, service, toldOf } from './support.ts'

const beside = (first: string, second: string) => toldOf(file(service('a', '', first) + service('b', '', second)))

t.test('addresses that would take each other’s connections are refused', async (t) => {
  const table = [
    ['127.0.0.1:80', '127.0.0.1:80'],
    ['0.0.0.0:80', '127.0.0.1:80'],
    ['127.0.0.1:80', '0.0.0.0:80'],
    ['0.0.0.0:80-90', '127.0.0.1:90-99'],
    ['127.0.0.1:1000-2000', '127.0.0.1:1500'],
    ['[::]:80', '[::1]:80'],
    ['[::1]:80', '[0:0:0:0:0:0:0:1]:80'],
    ['[2001:DB8::1]:80', '[2001:db8:0::1]:80'],
    ['[::ffff:1.2.3.4]:80', '1.2.3.4:80'],
    ['0.0.0.0:80', '[::ffff:102:304]:80'],
    ['[::ffff:0.0.0.0]:80', '1.2.3.4:80'],
  ] as const
  for (const [first, second] of table)
    t.strictSame(
      await beside(first, second),
      [`8:14 virtualServices.b.listen[0]: ${second} overlaps a.listen[0] at test.yaml:4:14`],
      `${first} and ${second}`,
    )
})

t.test('addresses that do not are accepted', async (t) => {
  const table = [
    ['127.0.0.1:80', '127.0.0.2:80'],
    ['127.0.0.1:80', '127.0.0.1:81'],
    ['0.0.0.0:80', '[::]:80'],
    ['0.0.0.0:80', '[::1]:80'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['127.0.0.1:80-89', '0.0.0.0:90-99'],
    ['[fe80::1%eth0]:80', '[fe80::1%eth1]:80'],
  ] as const
  for (const [first, second] of table) t.strictSame(await beside(first, second), [], `${first} and ${second}`)
})

t.test('two addresses of one service must not overlap either', async (t) => {
  const text = file(
    '  a:\n    listen: ["127.0.0.1:80", "0.0.0.0:70-80"]\n    protocol: tcp\n    backends: [127.0.0.1:1]\n',
  )
  t.match(await toldOf(text), [/listen\[1\]: 0.0.0.0:70-80 overlaps a.listen\[0\] at test.yaml:4:14/])
})

t.test('the admin listener counts, by default too', async (t) => {
  const a = service('a', '', '0.0.0.0:9600')
  t.match(await toldOf(file(a)), [/0.0.0.0:9600 overlaps admin.listen, by default 127.0.0.1:9600/])
  t.match(await toldOf(file(a, 'admin: { listen: "127.0.0.1:9600" }\n')), [/overlaps admin.listen at test.yaml:2:18/])
  t.strictSame(await toldOf(file(a, 'admin: { listen: "127.0.0.1:0" }\n')), [])
})

t.test('4096 sockets over all services are accepted, one more is not', async (t) => {
  const half = service('a', '', '127.0.0.1:10000-12047')
  t.ok(await configFrom(file(half + service('b', '', '127.0.0.2:10000-12047'))))
  t.match(await toldOf(file(half + service('b', '', '127.0.0.2:10000-12048'))), [
    /4097 listening sockets, more than 4096/,
  ])
})
