/**
 * THREATS 1–9: thousands of payloads that two readers could take apart differently. A reader of our own grammar says what each
 * means; the very bytes that reach the backend must be that and nothing else, and the client be told so.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { kept, readChunked } from '../../fuzz/reference/chunked.ts'
import { type Limits, optionsOf } from '../../fuzz/reference/head.ts'
import { image, type Request, type Rules, readRequest } from '../../fuzz/reference/request.ts'
import { startBalancer } from '../support/balancer.ts'
import { ENGINE } from '../support/differences.ts'
import { eventually } from '../support/eventually.ts'
import { BodyReader, framingOf, readHead, valuesOf } from '../support/message.ts'
import { type Payload, payloads } from './fixtures/smuggling.ts'

const LIMITS: Limits = { maxTarget: 8192, maxHead: 32_768, maxFields: 100 }
const RULES: Rules = {
  allowTrace: false,
  upgrades: ['websocket'],
  via: 'evenkeel',
  host: 'preserve',
  requestId: false,
  forwarded: false,
}
const LOOSE: Rules = { ...RULES, via: false, allowTrace: true } // of what arrives at the backend
const AT_ONCE = 64
const NATIVE = ENGINE === 'native'
const MOST_MS = 160_000 // it takes a tenth of that on two quiet cores
const PATIENCE_MS = NATIVE ? 20_000 : 300 // the other engine waits for bytes in some cases where ours refuses
const EACH = NATIVE ? 1 : 10 // how many payloads are sent: all, or every tenth

/** A request as it is to reach the backend, or did. */
interface Arrived {
  readonly head: string
  readonly data: string
  readonly trailers: string
  readonly whole: boolean
}

/** What a reader of the grammar makes of all that a client sends on one connection. */
interface Meaning {
  readonly requests: readonly { readonly request: Request; readonly arrives: Arrived }[]
  /** Statuses, one of which must end it; none: it is good, or waits for more. */
  readonly faults: ReadonlySet<number>
  /** The last answer ends the connection. */
  readonly ends: boolean
}

function bodyOf(request: Request, text: string): Omit<Arrived, 'head'> & { length: number; bad: boolean } {
  const { kind, length } = request.framing
  if (kind === 'chunked') {
    const body = readChunked(text)
    const trailers = kept(body.trailers, optionsOf(request.fields))
    return { data: body.data, trailers, whole: body.state === 'done', length: body.length, bad: body.state === 'bad' }
  }
  const data = text.slice(0, Math.max(0, length))
  return { data, trailers: '', whole: data.length >= length, length: data.length, bad: false }
}

function meaningOf(bytes: string, clientAddress: string, port: number): Meaning {
  const requests: Meaning['requests'][number][] = []
  let rest = bytes
  for (;;) {
    const faults = new Set<number>()
    const request = readRequest(rest, LIMITS, RULES, faults)
    if (request === undefined) return { requests, faults, ends: faults.size > 0 }
    const { length, bad, ...body } = bodyOf(request, rest.slice(request.length))
    const head = image(request, RULES, { clientAddress, scheme: 'http', port, trusted: false }, '')
    requests.push({ request, arrives: { head, ...body } })
    if (bad) return { requests, faults: new Set([400]), ends: true }
    if (!body.whole) return { requests, faults, ends: false }
    if (!request.persistent) return { requests, faults, ends: true }
    rest = rest.slice(request.length + length)
  }
}

/** Reads strictly what arrives on one connection, and answers each whole request. */
class Recorder {
  readonly arrived = new Map<string, Arrived[]>()
  readonly faults: string[] = []

  accept(socket: Socket): void {
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (;;) {
        const faults = new Set<number>()
        const request = readRequest(text, { ...LIMITS, maxHead: 40_000, maxFields: 110 }, LOOSE, faults)
        if (faults.size > 0) {
          this.faults.push(`${[...faults]}: ${JSON.stringify(text.slice(0, 500))}`)
          return void socket.destroy()
        }
        if (request === undefined) return
        const { length, bad, ...body } = bodyOf(request, text.slice(request.length))
        if (bad) this.faults.push(`a malformed body: ${JSON.stringify(text.slice(0, 500))}`)
        if (!body.whole) return
        this.#note({ head: text.slice(0, request.length), ...body })
        text = text.slice(request.length + length)
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${request.method === 'HEAD' ? '' : 'ok'}`)
      }
    })
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      const stop = text.indexOf('\r\n\r\n') + 4
      if (stop < 4) return
      const faults = new Set<number>()
      const request = readRequest(text, LIMITS, LOOSE, faults)
      if (request === undefined) return
      const { data, trailers } = bodyOf(request, text.slice(request.length))
      this.#note({ head: text.slice(0, stop), data, trailers, whole: false })
    })
  }

  #note(arrived: Arrived): void {
    const address = /\r\nX-Forwarded-For: ([\d.]+)\r\n/.exec(arrived.head)?.[1] ?? 'nobody'
    this.arrived.set(address, [...(this.arrived.get(address) ?? []), arrived])
  }
}

interface Heard {
  readonly statuses: number[]
  /** Values of Connection in the last answer. */
  connection: string
  closed: boolean
  problem: string
}

/** Sends a payload and listens until it has heard all that is to come. */
async function ask(port: number, localAddress: string, bytes: string, meaning: Meaning): Promise<Heard> {
  const heard: Heard = { statuses: [], connection: '', closed: false, problem: '' }
  const whole = meaning.requests.filter(({ arrives }) => arrives.whole)
  const wanted = whole.length + (meaning.faults.size > 0 ? 1 : 0)
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  let pending: Buffer = Buffer.alloc(0)
  const take = (): boolean => {
    const head = readHead(pending)
    if (head === undefined) return false
    const status = Number(head.startLine.split(' ')[1])
    const headOnly = whole[heard.statuses.length]?.request.method === 'HEAD'
    const { framing, length } = framingOf(head.fields)
    const reader = new BodyReader(headOnly || status < 200 ? 'none' : framing, length)
    const rest = reader.push(pending.subarray(head.text.length))
    if (!reader.done) return false
    pending = rest
    if (status >= 200) {
      heard.statuses.push(status)
      heard.connection = valuesOf(head.fields, 'connection').join().toLowerCase()
    }
    return true
  }
  await new Promise<void>((done) => {
    const timer = setTimeout(() => {
      heard.problem = 'nothing more came'
      done()
    }, PATIENCE_MS)
    const end = (): void => {
      clearTimeout(timer)
      done()
    }
    socket.on('data', (more: Buffer) => {
      pending = Buffer.concat([pending, more])
      try {
        while (pending.length > 0 && take());
      } catch (error) {
        heard.problem = String(error)
        return end()
      }
      if (heard.statuses.length >= wanted && !meaning.ends) end()
    })
    socket.on('error', (error) => {
      heard.problem = error.message
    })
    socket.on('close', () => {
      heard.closed = true
      end()
    })
    socket.write(Buffer.from(bytes, 'latin1'), () => {
      if (wanted === 0) end()
    })
  })
  socket.destroy()
  if (pending.length > 0 && heard.problem === '') heard.problem = `more came: ${pending.toString('latin1')}`
  return heard
}

t.setTimeout(MOST_MS)
const recorder = new Recorder()
const server = createServer({ allowHalfOpen: true }, (socket) => recorder.accept(socket))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())
const balancer = await startBalancer(t, {
  virtualServices: {
    main: {
      protocol: 'http',
      listen: ['127.0.0.1:0'],
      health: { type: 'none' },
      backends: [`127.0.0.1:${(server.address() as AddressInfo).port}`],
      http: { requestId: false },
      timeouts: { backendIdle: '1s' },
    },
  },
})
const port = balancer.port('main')

/** A payload, who sent it, and what came of it. */
interface Case extends Payload {
  readonly address: string
  readonly meaning: Meaning
  heard: Heard | null
}

/** Each payload comes from an address of its own, which X-Forwarded-For tells the backend. */
const addressOf = (n: number): string => `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`

const cases: Case[] = []
let nth = 0
for (const payload of payloads()) {
  if (nth++ % EACH > 0) continue
  const address = addressOf(cases.length + 1)
  cases.push({ ...payload, address, meaning: meaningOf(payload.bytes, address, port), heard: null })
}

async function work(queue: Case[]): Promise<void> {
  for (let one = queue.pop(); one !== undefined; one = queue.pop())
    one.heard = await ask(port, one.address, one.bytes, one.meaning)
}

t.test('every payload is sent, and every connection hears what its bytes deserve', async (t) => {
  t.setTimeout(MOST_MS)
  const queue = [...cases].reverse()
  await Promise.all(Array.from({ length: AT_ONCE }, () => work(queue)))
  const wrong = new Map<string, string[]>()
  for (const { kind, bytes, meaning, heard } of cases) {
    const problem = NATIVE ? complaintOf(meaning, heard) : heard === null ? 'not sent' : ''
    if (problem !== '') wrong.set(kind, [...(wrong.get(kind) ?? []), `${problem}: ${JSON.stringify(bytes)}`])
  }
  for (const kind of new Set(cases.map((one) => one.kind)))
    t.strictSame((wrong.get(kind) ?? []).slice(0, 3), [], `${kind}: ${wrong.get(kind)?.length ?? 0} wrong`)
})

function complaintOf({ requests, faults, ends }: Meaning, heard: Heard | null): string {
  if (heard === null) return 'not sent'
  const good = requests.filter(({ arrives }) => arrives.whole).length
  const { statuses, problem, connection, closed } = heard
  if (problem !== '' && !(faults.size > 0 && problem.includes('ECONNRESET'))) return problem
  if (statuses.slice(0, good).some((status) => status !== 200)) return `answered ${statuses}`
  if (statuses.length !== good + (faults.size > 0 ? 1 : 0)) return `${statuses.length} answers: ${statuses}`
  const last = statuses.at(-1) ?? 0
  if (faults.size > 0 && !faults.has(last)) return `refused with ${last}, not ${[...faults]}`
  if (ends && !closed) return 'the connection stays open'
  return ends && connection !== 'close' ? `Connection: ${connection}` : ''
}

t.test('the backend gets exactly the requests that were sent, each a faithful image, and no byte more', async (t) => {
  const partial = cases.filter(({ meaning }) => meaning.requests.some(({ arrives }) => !arrives.whole)).length
  await eventually('the end of the last bad request', async () => (await openConnections()) === 0, 20_000)
  const wrong = new Map<string, string[]>()
  for (const { kind, bytes, address, meaning } of cases) {
    const wanted = meaning.requests.map(({ arrives }) => arrives)
    const got = recorder.arrived.get(address) ?? []
    const problem = NATIVE ? difference(got, wanted) : differenceOfNode(kind, bytes, got, wanted)
    if (problem !== '') wrong.set(kind, [...(wrong.get(kind) ?? []), `${problem}: ${JSON.stringify(bytes)}`])
  }
  for (const kind of new Set(cases.map((one) => one.kind)))
    t.strictSame((wrong.get(kind) ?? []).slice(0, 3), [], `${kind}: ${wrong.get(kind)?.length ?? 0} wrong`)
  t.strictSame(recorder.faults.slice(0, 3), [], 'and all of it is well-formed')
  t.notOk(recorder.arrived.has('nobody'), 'every request tells who sent it')
  t.ok(
    partial > 0 && cases.length > 20_000 / EACH,
    `${cases.length} payloads, ${partial} of them with a body that is not whole`,
  )
})

async function openConnections(): Promise<number> {
  const { connections } = await new Promise<{ connections: number }>((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve({ connections: count }) : reject(error))),
  )
  return connections
}

/** A head or trailers without the white space around values, which node:http does not keep. */
const plain = (text: string): string => text.replaceAll(/^([^:\r\n]+):[ \t]*(.*?)[ \t]*$/gm, '$1: $2')
const plainly = (one: Arrived | undefined): string =>
  one === undefined ? 'nothing' : JSON.stringify([plain(one.head), one.data, plain(one.trailers)])

// What docs/http.md tells of it under 3 and 5: chunk lines and empty lines that node's parser lets pass.
const LENIENT = /^(?:chunk tricks|odd line ends)/

/** The engine http-proxy refuses more; what it passes on must be what was sent all the same. */
function differenceOfNode(kind: string, bytes: string, got: readonly Arrived[], wanted: readonly Arrived[]): string {
  const whole = got.filter((one) => one.whole)
  const most = bytes.split(' HTTP/1.').length - 1
  if (whole.length > most) return `${whole.length} requests at the backend from ${most} request lines`
  if (LENIENT.test(kind)) return ''
  const wrong = whole.findIndex((one, i) => plainly(one) !== plainly(wanted[i]))
  return wrong < 0 ? '' : `got ${plainly(whole[wrong])}, not ${plainly(wanted[wrong])}`
}

/** What is not whole may have arrived in part, or not at all. */
function difference(got: readonly Arrived[], wanted: readonly Arrived[]): string {
  const [last] = wanted.slice(-1)
  const whole = wanted.filter((one) => one.whole)
  const gotWhole = got.filter((one) => one.whole)
  if (gotWhole.length !== whole.length) return `${gotWhole.length} requests at the backend, not ${whole.length}`
  for (const [i, one] of whole.entries())
    if (JSON.stringify(gotWhole[i]) !== JSON.stringify(one))
      return `got ${JSON.stringify(gotWhole[i])}, not ${JSON.stringify(one)}`
  for (const one of got)
    if (!one.whole && (last === undefined || last.whole || last.head !== one.head || !last.data.startsWith(one.data)))
      return `got in part ${JSON.stringify(one)}`
  return ''
}

t.test('the balancer has not died of any of it', async (t) => {
  t.notMatch(balancer.stderr(), /died/)
  const heard = await ask(
    port,
    '127.0.0.1',
    'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    meaningOf('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n', '127.0.0.1', port),
  )
  t.strictSame(heard.statuses, [200])
})
