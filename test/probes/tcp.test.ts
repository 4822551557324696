/** The TCP probe: how it leaves. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { certificateIn, probeOf, startBackend } from './support.ts'

t.test('it reads a greeting to its end and closes without a reset', async (t) => {
  const events: string[] = []
  const greeting = Buffer.alloc(4 * 1024 * 1024, 'x') // more than any socket buffer holds
  const backend = await startBackend(t, (stream) => {
    for (const name of ['finish', 'error']) stream.once(name, () => events.push(name))
    stream.resume()
    stream.end(greeting)
  })
  await probeOf({ type: 'tcp' }).check(backend.address, new AbortController().signal)
  await backend.idle()
  t.same(events, ['finish'])
})

t.test(
  'however often it comes, a backend that greets is read out, and one that is silent sees an orderly end',
  async (t) => {
    for (const greeting of ['', 'SSH-2.0-x']) {
      const events: string[] = []
      const backend = await startBackend(t, (stream) => {
        stream.once('error', () => events.push('error'))
        stream.once('close', () => events.push('close'))
        stream.resume()
        stream.once('end', () => stream.end(greeting))
      })
      const { check } = probeOf({ type: 'tcp' })
      for (let i = 1; i <= 4; i++) {
        await check(backend.address, new AbortController().signal)
        await backend.idle()
      }
      t.same(events, ['close', 'close', 'close', 'close'], greeting)
    }
  },
)

t.test('it leaves for good when the backend never closes its side', async (t) => {
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const accepted = once(server, 'connection')
  const { port } = server.address() as AddressInfo
  await probeOf({ type: 'tcp' }).check({ host: '127.0.0.1', port }, new AbortController().signal)
  const socket = (await accepted)[0] as Socket
  const timer = setInterval(() => socket.write('still here'), 20)
  t.teardown(() => clearInterval(timer))
  const [error] = await once(socket, 'error', { signal: AbortSignal.timeout(5000) }).catch((reason: unknown) => [
    reason,
  ])
  t.match(error, { code: /^(ECONNRESET|EPIPE)$/ })
})

t.test('a later abort does not matter to a check that has passed', async (t) => {
  const backend = await startBackend(t, (stream) => stream.resume())
  const controller = new AbortController()
  t.same(await probeOf({ type: 'tcp' }).check(backend.address, controller.signal), { detail: 'connected' })
  controller.abort()
  await backend.idle()
})

t.test('the tls probe: a handshake with a certificate that is trusted passes, and tells the version', async (t) => {
  const dir = t.testdir({})
  const [good, other] = [await certificateIn(`${dir}/good`), await certificateIn(`${dir}/other`)]
  const never = new AbortController().signal
  const backend = await startBackend(t, (stream) => stream.resume(), good)
  const tls = (ca: string, more: object = {}) => probeOf({ type: 'tls', tls: { ca }, ...more })
  t.same(await tls(good.ca).check(backend.address, never), { detail: 'TLSv1.3' })
  await t.rejects(tls(other.ca).check(backend.address, never), { code: 'PROBE_FAILED', message: /unknown authority/ })
  const greeting = await startBackend(t, (stream) => stream.end('SSH-2.0-x'), good)
  t.same(await tls(good.ca, { tcp: { expect: 'SSH' } }).check(greeting.address, never), {
    detail: 'TLSv1.3, expected text seen',
  })
  await t.rejects(tls(good.ca, { tcp: { expect: 'FTP' } }).check(greeting.address, never), {
    code: 'PROBE_FAILED',
    message: /was closed/,
  })
})
