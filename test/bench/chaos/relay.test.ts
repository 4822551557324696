/** The chaos relay: what each way of spoiling does to both sides, and that it ends. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { ChaosRelay, type Spoiling } from '../../../bench/chaos/relay.ts'
import { eventually, within } from '../../support/eventually.ts'

const HOST = '127.0.0.1'

interface End {
  readonly socket: Socket
  text: string
  ending: string
}

function watch(socket: Socket): End {
  const end: End = { socket, text: '', ending: '' }
  socket.on('data', (bytes: Buffer) => {
    end.text += bytes.toString('latin1')
  })
  socket.on('end', () => {
    end.ending ||= 'end'
  })
  socket.on('error', () => {
    end.ending = 'reset'
  })
  return end
}

/** A client, the relay, and the server's side of the connection. */
async function joined(t: Test, spoiling?: Spoiling): Promise<{ relay: ChaosRelay; near: End; far: End }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, HOST)
  await once(server, 'listening')
  server.on('connection', (accepted) => accepted.on('error', () => undefined))
  const relay = await ChaosRelay.start(HOST, 0, (server.address() as AddressInfo).port)
  if (spoiling !== undefined) relay.spoil(spoiling)
  const arrived = once(server, 'connection')
  const socket = connect({ host: HOST, port: relay.port, allowHalfOpen: true })
  const near = watch(socket)
  const [accepted] = (await within(arrived, 'a connection')) as [Socket]
  const far = watch(accepted)
  t.teardown(() => {
    relay.close()
    server.close()
    socket.destroy()
    accepted.destroy()
  })
  return { relay, near, far }
}

const hears = (end: End, text: string) =>
  eventually(`${JSON.stringify(text)}, not ${end.text}`, () => end.text === text)
const ends = (end: End, ending: string) => eventually(`${ending}, not ${end.ending}`, () => end.ending === ending)

t.test('unspoilt, bytes and ends go through in both directions, and a reset too', async (t) => {
  const { near, far, relay } = await joined(t)
  near.socket.write('question')
  await hears(far, 'question')
  far.socket.end('answer')
  await hears(near, 'answer')
  await ends(near, 'end')
  near.socket.end('more')
  await hears(far, 'questionmore')
  await ends(far, 'end')
  await eventually('no connection is left', () => relay.connections === 0)
  const other = await joined(t)
  other.far.socket.resetAndDestroy()
  await ends(other.near, 'reset')
})

t.test('delayed bytes come late, whole and in order, the end behind them', async (t) => {
  const { near, far } = await joined(t, { mode: 'delay', ms: 100 })
  const begun = performance.now()
  far.socket.write('one ')
  far.socket.end('two')
  await hears(near, 'one two')
  t.ok(performance.now() - begun >= 95, 'late')
  await ends(near, 'end')
})

t.test('a trickle brings a few bytes at a time, and the rest at once when it is over', async (t) => {
  const { near, far, relay } = await joined(t, { mode: 'trickle', bytes: 3 })
  const text = 'x'.repeat(10_000)
  far.socket.end(text)
  await eventually('the first bytes', () => near.text.length > 0)
  t.ok(near.text.length < 1000, `${near.text.length} bytes so far`)
  relay.spoil({ mode: 'pass' })
  await hears(near, text)
  await ends(near, 'end')
})

t.test('a reset, a half-close and a truncation come behind exactly so many bytes', async (t) => {
  for (const [mode, nearEnding, farEnding] of [
    ['half-close', 'end', ''],
    ['truncate', 'end', 'end'],
  ] as const) {
    const { near, far } = await joined(t, { mode, after: 5 })
    far.socket.write('ans')
    far.socket.write('wer')
    await hears(near, 'answe')
    await ends(near, nearEnding)
    near.socket.write('still here')
    if (mode === 'half-close') await hears(far, 'still here')
    else await ends(far, farEnding)
    t.equal(far.ending, farEnding, mode)
    t.equal(near.text, 'answe', mode)
  }
  const { near, far } = await joined(t, { mode: 'reset', after: 5 })
  far.socket.write('answer')
  await ends(near, 'reset')
  await ends(far, 'reset')
  t.ok('answe'.startsWith(near.text))
})

t.test('what the near side says is spoilt alike, where that is meant', async (t) => {
  const { near, far, relay } = await joined(t, { mode: 'truncate', after: 5, of: 'requests' })
  far.socket.write('an answer')
  await hears(near, 'an answer')
  near.socket.write('question')
  await hears(far, 'quest')
  await ends(far, 'end')
  await ends(near, 'end')
  t.equal(near.text, 'an answer')
  const other = await joined(t, { mode: 'half-close', after: 5, of: 'both' })
  other.far.socket.write('answer')
  await hears(other.near, 'answe')
  other.near.socket.write('question')
  await hears(other.far, 'quest')
  for (const end of [other.near, other.far]) await ends(end, 'end')
  t.ok(relay.connections <= 1)
})

t.test('a stall takes nothing, and all of it comes when it is over, with the end', async (t) => {
  const { near, far, relay } = await joined(t)
  near.socket.write('question')
  await hears(far, 'question')
  relay.spoil({ mode: 'stall', of: 'both' })
  far.socket.end('answer')
  near.socket.write(' and more')
  const other = watch(connect({ host: HOST, port: relay.port }))
  t.teardown(() => other.socket.destroy())
  await within(once(other.socket, 'connect'), 'a connection of which nothing is read')
  relay.spoil({ mode: 'delay', ms: 100, of: 'both' })
  t.same([near.text, far.text], ['', 'question'], 'nothing came through')
  await hears(near, 'answer')
  await ends(near, 'end')
  await hears(far, 'question and more')
})

t.test('what a relay spoils from now on counts from now on', async (t) => {
  const { near, far, relay } = await joined(t)
  far.socket.write('before')
  await hears(near, 'before')
  relay.spoil({ mode: 'truncate', after: 2 })
  far.socket.write('after')
  await hears(near, 'beforeaf')
  await ends(near, 'end')
})

t.test('a black hole swallows both directions, and is a reset when it ends', async (t) => {
  const { near, far, relay } = await joined(t)
  near.socket.write('question')
  await hears(far, 'question')
  relay.spoil({ mode: 'black-hole' })
  near.socket.write(' and another')
  far.socket.write('answer')
  far.socket.end()
  const later = watch(connect({ host: HOST, port: relay.port }))
  await within(once(later.socket, 'connect'), 'a connection that leads nowhere')
  t.same([near.text, near.ending, far.text], ['', '', 'question'])
  relay.spoil({ mode: 'pass' })
  for (const end of [near, far, later]) await ends(end, 'reset')
  await eventually('no connection is left', () => relay.connections === 0)
})

t.test('where nobody listens, a connection is reset', async (t) => {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const relay = await ChaosRelay.start(HOST, 0, port)
  t.teardown(() => relay.close())
  await ends(watch(connect({ host: HOST, port: relay.port })), 'reset')
})
