/** `defaults:` under every service. */
import t from 'tap'
import { configFrom, file, service, toldOf } from './support.ts'

t.test('maps are merged key by key, lists are replaced, and what a service sets itself wins', async (t) => {
  const defaults =
    'defaults:\n  retries: 5\n  health: { interval: 7s, fall: 9 }\n  http: { upgrades: [a, b], via: common }\n'
  const own = '    retries: 1\n    health: { fall: 4 }\n    http: { upgrades: [c] }\n'
  const { virtualServices, ...rest } = await configFrom(file(service('a') + service('b', own), defaults))
  const { a, b } = virtualServices
  t.match(a, { retries: 5, health: { interval: 7000, fall: 9 }, http: { upgrades: ['a', 'b'], via: 'common' } })
  t.match(b, { retries: 1, health: { interval: 7000, fall: 4 }, http: { via: 'common' } })
  t.strictSame(b?.http.upgrades, ['c'])
  t.notOk('defaults' in rest, 'and are gone from the result')
})

t.test('defaults for TLS are for the services that speak it', async (t) => {
  const tls = 'defaults:\n  tls: { minVersion: TLSv1.3, certificates: [{ cert: c, key: k }] }\n'
  const services = ['tcp', 'http', 'tls', 'https'].map((name) => service(name, '', undefined, name)).join('')
  const { virtualServices } = await configFrom(file(services, tls))
  t.equal(virtualServices['tcp']?.tls, undefined)
  t.equal(virtualServices['http']?.tls, undefined)
  t.equal(virtualServices['tls']?.tls?.minVersion, 'TLSv1.3')
  t.equal(virtualServices['https']?.tls?.certificates.length, 1)
})

t.test('a part of an object is enough, where the services bring the rest', async (t) => {
  const defaults = 'defaults:\n  tls: { minVersion: TLSv1.3 }\n'
  const certificates = '    tls: { certificates: [{ cert: c, key: k }] }\n'
  const { a } = (await configFrom(file(service('a', certificates, undefined, 'https'), defaults))).virtualServices
  t.equal(a?.tls?.minVersion, 'TLSv1.3')
  t.strictSame(await toldOf(file(service('a', '', undefined, 'https'), defaults)), [
    '5:3 virtualServices.a.tls.certificates: certificates is missing: the certificates of this service, chosen by the name that a client asks for',
  ])
})

t.test('a mistake in the defaults is told once, where it stands', async (t) => {
  const defaults = 'defaults:\n  retries: 11\n  healt: {}\n'
  t.strictSame(await toldOf(file(service('a') + service('b') + service('c'), defaults)), [
    '3:12 defaults.retries: 11 is above 10',
    '4:3 defaults.healt: unknown key `healt`; did you mean `health`?',
  ])
})

t.test('a mistake in defaults that no service uses is told too', async (t) => {
  const defaults = 'defaults:\n  tls: { minVersion: SSLv3 }\n  retries: 11\n'
  t.match(await toldOf(file(service('a', '    retries: 1\n'), defaults)), [
    /minVersion: "SSLv3" is not one of/,
    /retries: 11/,
  ])
})
