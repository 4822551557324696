/** Starting: it works whole, or it fails with one sentence that names the service, the place and the cause. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { type Exit, startBalancer, startBalancerExpectingFailure } from '../support/balancer.ts'
import { connect } from '../support/raw.ts'
import { makeCertificate } from './fixtures/support.ts'

const backend = await startTcpBackend(t)
const taken = createServer()
taken.listen(0, '127.0.0.1')
await once(taken, 'listening')
t.teardown(() => taken.close())
const takenPort = (taken.address() as AddressInfo).port
const certificate = await makeCertificate()
const other = await makeCertificate()

const service = (more: object = {}): object => ({
  protocol: 'tcp',
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [backend.address],
  ...more,
})

/** The lines for people: what the process log says is not counted. */
const sentences = ({ stderr }: Exit & { stderr: string }): string[] =>
  stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))

t.test('a port that is in use is one sentence with service and address, exit code 1', async (t) => {
  const exit = await startBalancerExpectingFailure(t, {
    virtualServices: { good: service(), shop: service({ listen: [`127.0.0.1:${takenPort}`] }) },
  })
  t.equal(exit.code, 1)
  const [sentence, ...more] = sentences(exit)
  t.equal(
    sentence,
    `evenkeel: service shop can't listen on 127.0.0.1:${takenPort}: the port is in use by another process`,
  )
  t.strictSame(more, [])
  t.equal(exit.stdout, '')
})

t.test('two processes do not share a port', async (t) => {
  const first = await startBalancer(t, { virtualServices: { main: service() } })
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    const address = `${host}:${first.port('main')}`
    const exit = await startBalancerExpectingFailure(t, { virtualServices: { main: service({ listen: [address] }) } })
    t.equal(exit.code, 1)
    t.match(
      sentences(exit).join('\n'),
      `service main can't listen on ${address}: the port is in use by another process`,
    )
  }
  const client = await connect(first.port('main'))
  client.send('hello')
  t.equal((await client.readBytes(5)).toString(), 'hello', 'the first serves on')
  client.destroy()
})

t.test('an address of another machine is told', async (t) => {
  const exit = await startBalancerExpectingFailure(t, {
    virtualServices: { shop: service({ listen: ['192.0.2.1:8080'] }) },
  })
  t.equal(exit.code, 1)
  t.strictSame(sentences(exit), [
    "evenkeel: service shop can't listen on 192.0.2.1:8080: the address is not one of this machine",
  ])
})

t.test('an admin port that is in use is told', async (t) => {
  const exit = await startBalancerExpectingFailure(t, {
    admin: { listen: `127.0.0.1:${takenPort}` },
    virtualServices: { main: service() },
  })
  t.equal(exit.code, 1)
  t.match(sentences(exit), [new RegExp(`^evenkeel: admin can't listen on 127.0.0.1:${takenPort}: the port is in use`)])
})

t.test('a certificate that is missing, or whose key is another one, is told', async (t) => {
  const tls = service({ protocol: 'tls', tls: certificate.tls })
  const missing = await startBalancerExpectingFailure(t, { virtualServices: { shop: tls } })
  t.equal(missing.code, 1)
  t.match(sentences(missing), [/certificate file .*tls\.pem does not exist/])
  const mixed = await startBalancerExpectingFailure(
    t,
    { virtualServices: { shop: tls } },
    { files: { ...certificate.files, 'tls.key': other.files['tls.key'] ?? '' } },
  )
  t.equal(mixed.code, 1)
  t.match(sentences(mixed), [/the key in .*tls\.key does not belong to the certificate in .*tls\.pem/])
  for (const exit of [missing, mixed]) t.match(exit.stderr, /service shop/, 'and which service it is for')
})

t.test('an invalid file is exit code 2 with every problem and its place', async (t) => {
  const text = `version: 1
virtualServices:
  shop:
    listen: ["127.0.0.1:99999"]
    protocol: htps
    backends: []
    retrys: 1
`
  const exit = await startBalancerExpectingFailure(t, text)
  t.equal(exit.code, 2)
  for (const problem of [
    /yaml:4:\d+ .*listen\[0\]/,
    /yaml:5:\d+ .*protocol/,
    /yaml:6:\d+ .*backends/,
    /yaml:7:\d+ .*retrys/,
  ])
    t.match(exit.stderr, problem)
  t.equal(exit.stdout, '')
  t.notMatch(exit.stderr, /\n\s+at /, 'no stack trace')
})

t.test('a file that is not there is told', async (t) => {
  const exit = await startBalancerExpectingFailure(t, 'version: 1\n', { args: ['/nowhere/else.yaml'] })
  t.equal(exit.code, 2)
  t.notMatch(exit.stderr, /\n\s+at /, 'no stack trace')
})

t.test('data threads take what node has compiled, and our cache, as the process does', async (t) => {
  // V8 takes neither once a flag is another, which made a third of a thread's start (`lib/core/garbage.ts`).
  const dir = t.testdir({
    'tell.cjs': `const { cachedDataVersionTag } = require('node:v8')
require('node:fs').appendFileSync(__dirname + '/tags', cachedDataVersionTag() + '\\n')`,
  })
  const env = { NODE_OPTIONS: `--require=${dir}/tell.cjs` }
  await startBalancer(t, { appliance: { threads: 2 }, virtualServices: { shop: service() } }, { env })
  const tags = readFileSync(`${dir}/tags`, 'utf8').trim().split('\n')
  t.equal(tags.length, 3, 'the process and two data threads')
  t.equal(new Set(tags).size, 1)
})
