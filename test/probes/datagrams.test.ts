/** The contract of probes, over those that ask by datagrams. */
import { createHash, createHmac } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { getEventListeners, once } from 'node:events'
import t, { type Test } from 'tap'
import type { Address } from '../../lib/core/index.ts'
import { eventually } from '../support/eventually.ts'
import { probeOf, verdictOf } from './support.ts'

const never = new AbortController().signal
const SECRET = 'testing123'

/** A backend that answers each datagram with those that `answer` gives. */
async function startPeer(t: Test, answer: (asked: Buffer) => readonly Buffer[]): Promise<Address> {
  const socket = createSocket('udp4')
  socket.on('message', (asked, from) => {
    for (const bytes of answer(asked)) socket.send(bytes, from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return { host: '127.0.0.1', port: socket.address().port }
}

async function closedPort(): Promise<Address> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  await new Promise<void>((done) => socket.close(done))
  return { host: '127.0.0.1', port }
}

type Row = readonly [title: string, answer: (asked: Buffer) => readonly Buffer[], verdict: string]

interface Subject {
  readonly title: string
  readonly type: string
  readonly options: Record<string, unknown>
  readonly rows: readonly Row[]
}

/** An answer to a DNS question: flags, and records as hex behind the compressed name. */
const dns = (asked: Buffer, flags: number, ...records: string[]): Buffer => {
  const answer = Buffer.concat([asked, ...records.map((hex) => Buffer.from(`c00c${hex.replaceAll(' ', '')}`, 'hex'))])
  answer.writeUInt16BE(flags, 2)
  answer.writeUInt16BE(records.length, 6)
  return answer
}
const A = '0001 0001 0000003c 0004 0a000001'
const OK = 0x8180

/** One record, whose name is a pointer to itself. */
const circular = (asked: Buffer): Buffer => {
  const answer = dns(asked, OK, A)
  answer.writeUInt16BE(0xc000 | asked.length, asked.length)
  return answer
}

const changed = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
  return copy
}

interface RadiusOptions {
  readonly code?: number
  readonly secret?: string
  readonly signed?: boolean
}

/** An answer of a RADIUS server that is right, unless told otherwise. */
function radius(asked: Buffer, { code = 2, secret = SECRET, signed = true }: RadiusOptions = {}): Buffer {
  const attributes = signed ? Buffer.concat([Buffer.of(80, 18), Buffer.alloc(16)]) : Buffer.from([18, 4, 111, 107])
  const answer = Buffer.concat([
    Buffer.of(code, asked.readUInt8(1), 0, 20 + attributes.length),
    asked.subarray(4, 20),
    attributes,
  ])
  if (signed) createHmac('md5', secret).update(answer).digest().copy(answer, 22)
  createHash('md5').update(answer).update(secret).digest().copy(answer, 4)
  return answer
}

const SUBJECTS: readonly Subject[] = [
  {
    title: 'udp',
    type: 'udp',
    options: { udp: { send: 'ping', expect: 'pong' } },
    rows: [
      ['answers as expected', () => [Buffer.from('pong')], 'pass'],
      ['answers something else', () => [Buffer.from('hello')], 'body'],
      ['answers nothing in a datagram', () => [Buffer.alloc(0)], 'body'],
    ],
  },
  {
    title: 'udp, any answer',
    type: 'udp',
    options: { udp: { send: { hex: '00ff' } } },
    rows: [
      ['echoes', (asked) => [asked], 'pass'],
      ['answers with 60 KiB', () => [Buffer.alloc(60_000)], 'pass'],
    ],
  },
  {
    title: 'dns',
    type: 'dns',
    options: { dns: { name: 'a.example', expect: '10.0.0.1' } },
    rows: [
      ['answers', (asked) => [dns(asked, OK, A)], 'pass'],
      ['answers with an alias first', (asked) => [dns(asked, OK, '0005 0001 0000003c 0002 c00c', A)], 'pass'],
      ['answers after a forged answer', (asked) => [changed(dns(asked, OK, A), 0), dns(asked, OK, A)], 'pass'],
      ['answers with another address', (asked) => [dns(asked, OK, '0001 0001 0000003c 0004 0a000002')], 'body'],
      ['answers without records', (asked) => [dns(asked, OK)], 'body'],
      ['cuts its answer short', (asked) => [dns(asked, OK | 0x200)], 'body'],
      ['fails', (asked) => [dns(asked, OK | 2)], 'status'],
      ['refuses', (asked) => [dns(asked, OK | 5)], 'status'],
      ['says a code without a name', (asked) => [dns(asked, OK | 9)], 'status'],
      ['answers another question', (asked) => [changed(dns(asked, OK, A), 13)], 'timeout'],
      ['has another number', (asked) => [changed(dns(asked, OK, A), 1)], 'timeout'],
      ['echoes', (asked) => [asked], 'timeout'],
      ['ends within a record', (asked) => [dns(asked, OK, A).subarray(0, -2)], 'timeout'],
      ['has a name that runs in circles', (asked) => [circular(asked)], 'timeout'],
      ['sends three bytes', () => [Buffer.from('abc')], 'timeout'],
    ],
  },
  {
    title: 'dns, a code',
    type: 'dns',
    options: { dns: { name: 'absent.example', codes: ['NXDOMAIN'] } },
    rows: [['does not know the name', (asked) => [dns(asked, OK | 3)], 'pass']],
  },
  {
    title: 'dns, an IPv6 address however it is written',
    type: 'dns',
    options: { dns: { name: 'a.example', type: 'AAAA', expect: '2001:DB8:0::1' } },
    rows: [
      ['answers', (asked) => [dns(asked, OK, '001c 0001 0000003c 0010 20010db8000000000000000000000001')], 'pass'],
    ],
  },
  {
    title: 'dns, a text in two strings',
    type: 'dns',
    options: { dns: { name: 'a.example', type: 'TXT', expect: 'healthy' } },
    rows: [['answers', (asked) => [dns(asked, OK, '0010 0001 0000003c 0009 04 6865616c 03 746879')], 'pass']],
  },
  {
    title: 'radius',
    type: 'radius',
    options: { radius: { secret: SECRET } },
    rows: [
      ['accepts', (asked) => [radius(asked)], 'pass'],
      ['is one for accounting', (asked) => [radius(asked, { code: 5, signed: false })], 'pass'],
      ['accepts after a forged answer', (asked) => [radius(asked, { secret: 'x' }), radius(asked)], 'pass'],
      ['rejects', (asked) => [radius(asked, { code: 3 })], 'status'],
      ['answers with another secret', (asked) => [radius(asked, { secret: 'x' })], 'timeout'],
      ['has no Message-Authenticator', (asked) => [radius(asked, { signed: false })], 'protocol'],
      ['has a wrong Message-Authenticator', (asked) => [resigned(changed(radius(asked), 25), asked)], 'timeout'],
      ['has another identifier', (asked) => [changed(radius(asked), 1)], 'timeout'],
      ['echoes', (asked) => [asked], 'timeout'],
      ['sends three bytes', () => [Buffer.from('abc')], 'timeout'],
      ['says that it is longer than it is', (asked) => [changed(radius(asked), 2)], 'timeout'],
    ],
  },
  {
    title: 'radius of an older server',
    type: 'radius',
    options: { radius: { secret: SECRET, requireMessageAuthenticator: false } },
    rows: [
      ['has no Message-Authenticator', (asked) => [radius(asked, { signed: false })], 'pass'],
      ['has a wrong Message-Authenticator', (asked) => [resigned(changed(radius(asked), 25), asked)], 'timeout'],
      ['answers with another secret', (asked) => [radius(asked, { secret: 'x', signed: false })], 'timeout'],
    ],
  },
  {
    title: 'radius with a user whose rejection passes',
    type: 'radius',
    options: { radius: { secret: SECRET, user: 'probe', password: 'hunter2', reject: 'pass' } },
    rows: [
      ['accepts', (asked) => [radius(asked)], 'pass'],
      ['rejects', (asked) => [radius(asked, { code: 3 })], 'pass'],
      ['asks for more', (asked) => [radius(asked, { code: 11 })], 'status'],
    ],
  },
]

/** The digest of RFC 2865 made anew: what someone who found a collision could do. */
function resigned(answer: Buffer, asked: Buffer): Buffer {
  const copy = Buffer.from(answer)
  asked.copy(copy, 4, 4, 20)
  createHash('md5').update(copy).update(SECRET).digest().copy(copy, 4)
  return copy
}

const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => /^UDP/i.test(name)).length

for (const { title, type, options, rows } of SUBJECTS)
  t.test(`the probe ${title}`, async (t) => {
    const probe = probeOf({ type, ...options })
    const silent: Row = ['says nothing', () => [], 'timeout']
    for (const [what, answer, verdict] of [...rows, silent])
      t.test(`a backend that ${what}: ${verdict}`, async (t) => {
        const controller = new AbortController()
        const address = await startPeer(t, (asked) => {
          // What is ignored must have come before the time is up.
          if (verdict === 'timeout') setTimeout(() => controller.abort(), 30)
          return answer(asked)
        })
        const before = openSockets()
        t.equal(await verdictOf(t, probe, address, controller.signal), verdict)
        t.equal(getEventListeners(controller.signal, 'abort').length, 0)
        await eventually('the socket is closed', () => openSockets() <= before)
      })

    t.test('a backend whose port is closed: connect', async (t) => {
      t.equal(await verdictOf(t, probe, await closedPort(), never), 'connect')
    })

    t.test('an abort before it starts, and at once: timeout', async (t) => {
      const address = await startPeer(t, () => [])
      t.equal(await verdictOf(t, probe, address, AbortSignal.abort()), 'timeout')
      const controller = new AbortController()
      const verdict = verdictOf(t, probe, address, controller.signal)
      controller.abort()
      t.equal(await verdict, 'timeout')
    })
  })

t.test('udp.quiet: silence passes, a refusal and a wrong answer do not', async (t) => {
  const probe = probeOf({ type: 'udp', udp: { send: 'x', expect: 'y', quiet: '50ms' } })
  t.equal(await verdictOf(t, probe, await startPeer(t, () => []), never), 'pass')
  t.equal(await verdictOf(t, probe, await closedPort(), never), 'connect')
  t.equal(await verdictOf(t, probe, await startPeer(t, (asked) => [asked]), never), 'body')
})
