/** Probes as a running balancer uses them: one that drains, and a program. */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { type Backend, startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { roundTrip } from '../support/raw.ts'
import { backendOf, changesOf, untilState } from './fixtures/support.ts'

const FAST = { interval: '50ms', fastInterval: '50ms', downInterval: '50ms' }
const HTTP_PROBE = { type: 'http', path: '/healthz', ...FAST }
const http = (backends: readonly Backend[], health: object): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  health,
  backends: backends.map(({ name, address }) => ({ name, address })),
})
const get = (balancer: Balancer) =>
  roundTrip(balancer.port('main'), `GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
const isProbe = ({ target }: { target: string }): boolean => target === '/healthz'

t.test('a 404 drains with disableOn404: no new flows, until the next 200', async (t) => {
  const [one, two] = [await startBackend(t, 'b1'), await startBackend(t, 'b2')]
  let status = '200 OK'
  one.on('/healthz', (x) => x.answer('', '', status))
  const health = { ...HTTP_PROBE, disableOn404: true }
  const balancer = await startBalancer(t, { virtualServices: { main: http([one, two], health) } })
  for (const name of ['b1', 'b2']) await untilState(balancer, name, 'up')
  status = '404 Not Found'
  await untilState(balancer, 'b1', 'draining')
  const before = one.heads.filter((head) => !isProbe(head)).length
  for (let n = 0; n < 4; n++) t.equal((await get(balancer)).status, 200)
  t.equal(one.heads.filter((head) => !isProbe(head)).length, before)
  t.match(await backendOf(balancer, 'main', 'b1'), { health: 'passing', cause: 'probe', why: 'HTTP 404: drains' })
  status = '200 OK'
  await untilState(balancer, 'b1', 'up')
  t.strictSame(changesOf(balancer, 'b1'), ['unknown up probe', 'up draining probe', 'draining up probe'])
})

t.test('a backend whose first answer is 404 drains from the start', async (t) => {
  const backend = await startBackend(t, 'b1')
  backend.on('/healthz', (x) => x.answer('', '', '404 Not Found'))
  const balancer = await startBalancer(t, {
    virtualServices: { main: http([backend], { ...HTTP_PROBE, disableOn404: true }) },
  })
  await untilState(balancer, 'b1', 'draining')
  t.equal((await get(balancer)).status, 503)
})

t.test('a program decides, told which backend it is about', async (t) => {
  const backend = await startBackend(t, 'b1')
  const program = `${t.testdir({})}/probe`
  writeFileSync(program, '#!/bin/sh\necho "$EVENKEEL_SERVICE/$EVENKEEL_BACKEND_NAME $1"\nexit $1\n', { mode: 0o700 })
  const exec = (code: string) => ({ type: 'exec', exec: { command: [program, code] }, ...FAST })
  const balancer = await startBalancer(t, {
    virtualServices: { main: http([backend], exec('0')), other: http([backend], exec('3')) },
  })
  const whyOf = async (service: string): Promise<unknown> => (await backendOf(balancer, service, 'b1'))['why']
  await eventually('both were probed', async () => (await whyOf('main')) !== (await whyOf('other')))
  await eventually('main is well', async () => (await whyOf('main')) === 'exit 0: main/b1 0')
  await eventually('the other is not', async () => /^exit 3: other\/b1 3/.test(String(await whyOf('other'))))
})
