/** The options of the PROXY protocol: what is refused, and what is warned of. */
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configFrom, file, service, toldOf } from '../config/support.ts'

const accepting = (lines: string): string => file(service('a', `    proxyProtocol: ${lines}\n`))

t.test('it is off by default', async (t) => {
  const { a } = (await configFrom(file(service('a')))).virtualServices
  t.match(a, { proxyProtocol: { accept: 'off', from: [], timeout: 3000 }, sendProxy: 'off' })
  t.notOk(a?.backends[0]?.sendProxy)
})

t.test('headers are accepted only from addresses that are listed', async (t) => {
  const at = 'virtualServices.a.proxyProtocol.from'
  const message = `${at}: is needed: the addresses of the load balancers that send the PROXY header`
  t.strictSame(await toldOf(accepting('{ accept: any }')), [`7:30 ${message}`])
  t.strictSame(await toldOf(accepting('{ accept: v2, from: [] }')), [`7:40 ${message}`])
  t.strictSame(await toldOf(accepting('{ accept: v1, from: [10.0.0.0/8, "::1"] }')), [])
  t.match(await toldOf(accepting('{ accept: any, from: [10.0.0.0/33] }')), [/from\[0\]: .*is not an address or CIDR/])
  t.match(await toldOf(accepting('{ accept: v3, from: [10.0.0.1] }')), [/accept: /])
})

t.test('a backend has its own version, else that of its service', async (t) => {
  const lines = '    sendProxy: v1\n'
  const text = file(service('a', lines)).replace(
    '[127.0.0.1:1]',
    '[127.0.0.1:1, { address: 127.0.0.1:2, sendProxy: v2 }]',
  )
  const { a } = (await configFrom(text)).virtualServices
  t.equal(a?.sendProxy, 'v1')
  t.strictSame(
    a?.backends.map(({ sendProxy }) => sendProxy),
    [undefined, 'v2'],
  )
  t.match(await toldOf(file(service('a', '    sendProxy: v3\n'))), [/sendProxy: /])
})

const warningsOf = async (text: string): Promise<string[]> => {
  const result = await loadConfigText(text, 'test.yaml', { env: {} })
  return result.ok ? result.warnings.map(({ path, message }) => `${path}: ${message}`) : ['refused']
}

t.test('what has no effect, and what lets everybody in, is warned of', async (t) => {
  const at = 'virtualServices.a.proxyProtocol'
  t.strictSame(await warningsOf(accepting('{ from: [10.0.0.1], timeout: 1s }')), [
    `${at}.from: has no effect while accept is off`,
    `${at}.timeout: has no effect while accept is off`,
  ])
  t.strictSame(await warningsOf(accepting('{ accept: any, from: [10.0.0.1, "::/0"] }')), [
    `${at}.from[1]: lets every client claim any address`,
  ])
})
