/** The gRPC probe against a real server of @grpc/grpc-js, in clear text and over TLS, and against servers of other kinds. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import t from 'tap'
import type { Address } from '../../lib/core/index.ts'
import { certificateIn, probeOf, startBackend, verdictOf } from './support.ts'

const never = new AbortController().signal
const certificate = await certificateIn(t.testdir({}))
const pair = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) }
const same = (bytes: Buffer): Buffer => bytes

/** What is serving; '' is the server itself. */
const serving = new Map([
  ['', 1],
  ['shop.v1.Orders', 1],
  ['shop.v1.Slow', 2],
])

async function start(secure: boolean, healthy = true): Promise<Address> {
  const server = new Server()
  const check = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  }
  if (healthy)
    server.addService({ check } as never, {
      check: (call: { request: Buffer }, done: (error: object | null, answer?: Buffer) => void) => {
        const status = serving.get(call.request.subarray(2).toString())
        if (status === undefined) done({ code: 5, details: 'unknown service' })
        else done(null, Buffer.of(8, status))
      },
    })
  const credentials = secure
    ? ServerCredentials.createSsl(null, [{ cert_chain: pair.cert, private_key: pair.key }])
    : ServerCredentials.createInsecure()
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  t.teardown(() => server.forceShutdown())
  return { host: '127.0.0.1', port }
}

const clear = await start(false)
const secure = await start(true)
const tls = { mode: 'implicit', ca: certificate.ca }

for (const [title, target, options, verdict] of [
  ['the server is serving', clear, {}, 'pass'],
  ['a service is serving', clear, { grpc: { service: 'shop.v1.Orders' } }, 'pass'],
  ['a service is not', clear, { grpc: { service: 'shop.v1.Slow' } }, 'status'],
  ['a service is unknown', clear, { grpc: { service: 'a'.repeat(255) } }, 'status'],
  ['there is no such service at all', await start(false, false), {}, 'status'],
  ['over TLS', secure, { tls }, 'pass'],
  ['over TLS, of an authority that is not trusted', secure, { tls: { mode: 'implicit' } }, 'tls'],
  ['in clear text to a port with TLS', secure, {}, 'closed'],
  ['over TLS to a port in clear text', clear, { tls }, 'tls'],
] as const)
  t.test(`${title}: ${verdict}`, async (t) => {
    const seen = await verdictOf(t, probeOf({ type: 'grpc', ...options }), target, never)
    if (title.startsWith('in clear')) t.match(seen, /^(closed|protocol|reset)$/)
    else t.equal(seen, verdict)
  })

t.test('a server with TLS that knows no HTTP/2: tls', async (t) => {
  const server = createServer(pair).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close().closeAllConnections())
  const { port } = server.address() as { port: number }
  t.equal(await verdictOf(t, probeOf({ type: 'grpc', tls }), { host: '127.0.0.1', port }, never), 'tls')
  const mute = await startBackend(t, (stream) => stream.resume(), certificate)
  t.equal(await verdictOf(t, probeOf({ type: 'grpc', tls }), mute.address, never), 'tls', 'no ALPN at all')
})

t.test('a probe leaves no connection behind, and asks again on another one', async (t) => {
  const probe = probeOf({ type: 'grpc' })
  for (let i = 0; i < 20; i++) t.equal((await probe.check(clear, never)).detail, 'SERVING')
})
