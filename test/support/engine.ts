/** One balancer before one recording backend, and the two verdicts that a table of raw requests can meet: refused, or passed on. */
import type { Test } from 'tap'
import { type Backend, startBackend, type Teardown } from './backend.ts'
import { type Balancer, startBalancer } from './balancer.ts'
import { type Verdict, verdictOf } from './differences.ts'
import { valuesOf } from './message.ts'
import { connect, type RawClient } from './raw.ts'

export interface Rig {
  readonly balancer: Balancer
  readonly backend: Backend
  /** The port of a service; default `main`. */
  port(service?: string): number
  connect(service?: string): Promise<RawClient>
  /** A round trip through the same data thread: whatever reached it before has been read when this ends. */
  barrier(): Promise<void>
}

/** Every service goes to the one backend unless it names its own; `main` is always there. */
export async function startRig(t: Teardown, services: Record<string, object> = {}): Promise<Rig> {
  const backend = await startBackend(t)
  const barrierBackend = await startBackend(t, 'barrier')
  const base = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' } }
  const virtualServices = Object.fromEntries(
    Object.entries({ main: {}, ...services }).map(([name, own]) => [
      name,
      { ...base, backends: [backend.address], ...own },
    ]),
  )
  const balancer = await startBalancer(t, {
    virtualServices: { ...virtualServices, barrier: { ...base, backends: [barrierBackend.address] } },
  })
  const port = (service = 'main') => balancer.port(service)
  let client: RawClient | undefined
  let queue = Promise.resolve()
  const pass = async () => {
    client ??= await connect(port('barrier'))
    client.send(get('/barrier'))
    await client.readResponse()
  }
  const barrier = () => {
    queue = queue.then(pass)
    return queue
  }
  return { balancer, backend, port, connect: (service) => connect(port(service)), barrier }
}

/** A GET with more field lines, each ended by CRLF. */
export const get = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`

/** A POST with exactly these field lines besides Host, and these bytes after the head. */
export const post = (fields: string, body: string, target = '/'): string =>
  `POST ${target} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n${body}`

/** A chunked POST with exactly these bytes as its body. */
export const chunked = (body: string, target = '/'): string => post('Transfer-Encoding: chunked\r\n', body, target)

export interface RefusedRow {
  readonly title: string
  readonly bytes: string | Buffer
  /** Default 400. */
  readonly status?: number | readonly number[]
}

interface RefusedOptions {
  readonly service?: string
  /** The fault is in the body, so the head may have been passed on; a whole request may not. */
  readonly inBody?: boolean
}

/** By rig and service, a connection that stays: a new one each time would be half of all the work. */
const fences = new WeakMap<Rig, Map<string, RawClient>>()

/** A request behind the backend's back: proves that the balancer still serves, and dates what the backend has seen. */
async function fence(rig: Rig, service: string): Promise<void> {
  const kept = fences.get(rig) ?? new Map<string, RawClient>()
  fences.set(rig, kept)
  let client = kept.get(service)
  if (client === undefined || client.ending !== undefined) {
    client = await rig.connect(service)
    client.socket.unref()
    kept.set(service, client)
  }
  client.send(get('/fence'))
  const { status, fields } = await client.readResponse()
  if (valuesOf(fields, 'connection').includes('close')) kept.delete(service)
  if (status !== 200) throw new Error(`a plain request after the bad one was answered ${status}`)
}

/** Each row is answered with its status and `Connection: close`, the connection ends, and the backend learns nothing of it. */
export async function refuses(
  t: Test,
  rig: Rig,
  rows: readonly RefusedRow[],
  options: RefusedOptions = {},
): Promise<void> {
  const { service = 'main', inBody = false } = options
  const { backend } = rig
  for (const { title, bytes, status = 400 } of rows) {
    const verdict = verdictOf(title)
    if (verdict !== undefined) {
      t.equal(await verdictOn(rig, bytes, service), verdict, `${title}: not as the rule says, but as documented`)
      continue
    }
    const seen = inBody ? backend.requests.length : backend.heads.length
    const faults = backend.faults.length
    const client = await rig.connect(service)
    const got = { status: 0, connection: '', rest: '', reached: [''] }
    try {
      client.send(bytes)
      const response = await client.readResponse({ deadline: 2000 })
      got.status = response.status
      got.connection = valuesOf(response.fields, 'connection').join().toLowerCase()
      got.rest = (await client.readUntilClose(2000)).toString('latin1')
    } catch (error) {
      got.rest = error instanceof Error ? error.message : String(error)
    }
    client.destroy()
    await fence(rig, service)
    got.reached = (inBody ? backend.requests : backend.heads).slice(seen).map((request) => request.target)
    got.reached.push(...backend.faults.slice(faults))
    const wanted = (typeof status === 'number' ? [status] : status).includes(got.status) ? got.status : status
    t.strictSame(got, { status: wanted, connection: 'close', rest: '', reached: ['/fence'] }, title)
  }
}

const WAIT_MS = 300 // an answer that has not come by now is not on its way: on loopback it takes one

/** What becomes of a request that is not treated as its rule says. */
async function verdictOn(rig: Rig, bytes: string | Buffer, service: string): Promise<Verdict> {
  const { backend } = rig
  const [heads, seen] = [backend.heads.length, backend.requests.length]
  const client = await rig.connect(service)
  client.send(bytes)
  const response = await client.readResponse({ deadline: WAIT_MS }).catch(() => undefined)
  client.destroy()
  await fence(rig, service)
  const whole = backend.requests.splice(seen).length - 1
  backend.heads.splice(heads) // what stands behind a body that passes is a request of its own, not smuggled
  if (response === undefined) return whole === 0 ? 'waits' : 'cut'
  return response.status === 200 && whole > 0 ? 'passed' : response.status
}

export interface PassedRow {
  readonly title: string
  readonly bytes: string | Buffer
  readonly method?: string
  readonly target?: string
  readonly body?: string
}

/** Each row is answered by the backend, which got it with this method, target and body and nothing after it. */
export async function passes(t: Test, rig: Rig, rows: readonly PassedRow[], service = 'main'): Promise<void> {
  const { backend } = rig
  for (const { title, bytes, method, target, body = '' } of rows) {
    const verdict = verdictOf(title)
    if (verdict !== undefined) {
      t.equal(await verdictOn(rig, bytes, service), verdict, `${title}: not as the rule says, but as documented`)
      continue
    }
    const seen = backend.requests.length
    const client = await rig.connect(service)
    const got = { status: 0, requests: [{}], faults: [''] }
    try {
      client.send(bytes)
      got.status = (await client.readResponse({ deadline: 2000, ...(method === undefined ? {} : { method }) })).status
    } catch (error) {
      got.faults.push(error instanceof Error ? error.message : String(error))
    }
    client.destroy()
    await fence(rig, service)
    const [request, ...others] = backend.requests.slice(seen)
    if (request !== undefined)
      got.requests.push({
        method: method === undefined ? undefined : request.method,
        target: target === undefined ? undefined : request.target,
        body: request.reader.bytes.toString('latin1'),
      })
    got.requests.push(...others.map((r) => ({ target: r.target })))
    got.faults.push(...backend.faults.splice(0))
    t.strictSame(
      got,
      { status: 200, requests: [{}, { method, target, body }, { target: '/fence' }], faults: [''] },
      title,
    )
  }
}
