/** Keys of session tickets: rotation, several threads, several appliances, services apart. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ManualClock } from '../../lib/core/index.ts'
import { createServerContext, loadCredentials, newSecret, SecretKeeper, TicketRing } from '../../lib/tls/index.ts'
import { makeFamily, writeAll } from './fixtures/certificates.ts'
import { handshake, serve } from './fixtures/server.ts'

const { root, intermediate, leaf } = await makeFamily()
const files = await writeAll(t.testdir({}), { 'chain.pem': leaf.cert + intermediate.cert, 'leaf.key': leaf.key })
const credentials = await loadCredentials({ cert: files['chain.pem'], key: files['leaf.key'] })

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const options = { minVersion: version, maxVersion: version }

  t.test(`${version}: tickets are good through two rotations, and not through a third`, async (t) => {
    const secrets = [newSecret()]
    const ring = new TicketRing({ secrets, current: 0 })
    const port = await serve(t, [createServerContext([credentials], { tickets: ring })])
    const session = (await handshake(t, port, root.cert, options)).getSession() as Buffer
    const resumed = async () => (await handshake(t, port, root.cert, { ...options, session })).isSessionReused()
    for (const [rotations, expected] of [true, true, true, false].entries()) {
      t.equal(await resumed(), expected, `after ${rotations} rotations`)
      secrets.unshift(newSecret())
      ring.replace({ secrets: secrets.slice(0, 3), current: 0 })
    }
  })

  t.test(`${version}: a client whose ticket is of an older key gets one of the current key`, async (t) => {
    const [old, fresh] = [newSecret(), newSecret()]
    const ring = new TicketRing({ secrets: [old], current: 0 })
    const port = await serve(t, [createServerContext([credentials], { tickets: ring })])
    const first = (await handshake(t, port, root.cert, options)).getSession() as Buffer
    ring.replace({ secrets: [fresh, old], current: 0 })
    const again = (await handshake(t, port, root.cert, { ...options, session: first })).getSession() as Buffer
    ring.replace({ secrets: [fresh], current: 0 })
    const resumed = async (session: Buffer) =>
      (await handshake(t, port, root.cert, { ...options, session })).isSessionReused()
    t.equal(await resumed(again), true)
    t.equal(await resumed(first), false)
  })

  t.test(`${version}: one secret makes other keys for another scope`, async (t) => {
    const tickets = new TicketRing({ secrets: [newSecret()], current: 0 })
    const contexts = ['a', 'b'].map((scope) => createServerContext([credentials], { tickets, scope }))
    const port = await serve(t, contexts)
    const session = (await handshake(t, port, root.cert, options)).getSession() as Buffer
    t.equal((await handshake(t, port, root.cert, { ...options, session })).isSessionReused(), false, 'at b')
    t.equal((await handshake(t, port, root.cert, { ...options, session })).isSessionReused(), true, 'at a')
  })

  t.test(`${version}: without tickets nothing resumes`, async (t) => {
    const port = await serve(t, [createServerContext([credentials], { tickets: null })])
    const session = (await handshake(t, port, root.cert, options)).getSession() as Buffer
    t.equal((await handshake(t, port, root.cert, { ...options, session })).isSessionReused(), false)
  })
}

t.test('a new secret is accepted before it is used, and two are kept behind it', async (t) => {
  const clock = new ManualClock()
  const keeper = new SecretKeeper({ file: null, rotateMs: 1000, clock })
  const [first] = keeper.current.secrets
  t.equal(await keeper.look(), null, 'not before its time')
  clock.advance(1000)
  const [accept, use] = (await keeper.look()) ?? []
  t.equal(accept?.secrets[accept.current], first)
  t.equal(use?.secrets.length, 2)
  t.equal(use?.secrets[1], first)
  t.ok(use?.secrets.every((secret) => accept?.secrets.includes(secret)))
  for (let i = 0; i < 3; i++) {
    clock.advance(1000)
    await keeper.look()
  }
  t.equal(keeper.current.secrets.length, 3)
  t.notOk(keeper.current.secrets.includes(first as Uint8Array))
})

t.test('secrets come from a file that appliances share, and follow it', async (t) => {
  const file = join(t.testdir({}), 'tickets')
  const line = () => Buffer.from(newSecret()).toString('base64')
  const [a, b] = [line(), line()]
  writeFileSync(file, `# shared\n${a}\n`)
  const keeper = new SecretKeeper({ file, rotateMs: 1000, clock: new ManualClock() })
  await keeper.load()
  const texts = () => keeper.current.secrets.map((secret) => Buffer.from(secret).toString('base64'))
  t.strictSame(texts(), [a])
  writeFileSync(file, `${b}\n${a}\n`)
  t.equal((await keeper.look())?.length, 2)
  t.strictSame(texts(), [b, a])
  writeFileSync(file, 'c2hvcnQ=\n')
  t.equal(await keeper.look(), null)
  t.match(keeper.problem, /line 1 is not base64 of at least 32 bytes/)
  t.strictSame(texts(), [b, a], 'what can not be used changes nothing')
  for (const [text, message] of [
    ['', /holds no key/],
    ['not base64!\n', /line 1 is not base64/],
    [`${a}\n`.repeat(9), /more than 8 keys/],
  ] as const) {
    writeFileSync(file, text)
    await t.rejects(new SecretKeeper({ file, rotateMs: 1, clock: new ManualClock() }).load(), { message })
  }
})
