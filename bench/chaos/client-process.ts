/** Clients of many kinds as a process of its own. `client-process.ts JSON`, see `ClientOptions`; ends when told so. */
import { Random } from '../../fuzz/random.ts'
import { Http1Client } from './http1-client.ts'
import { Http2Client } from './http2-client.ts'
import { Journal } from './journal.ts'
import { Pacer } from './pacer.ts'
import { frontOf, type Service } from './plan.ts'
import { type Ask, drawAsk, type Ending } from './request.ts'
import { echoBytes, echoMessages } from './stream-client.ts'

export interface ClientOptions {
  /** The first of its ids: one letter. */
  readonly letter: string
  readonly seed: number
  readonly journal: string
  readonly ports: Readonly<Record<Service, number>>
  /** These are ports of relays. */
  readonly relayed: boolean
  readonly ca: string
  /** Requests a second over all. */
  readonly rate: number
  /** Clients of each kind at a time. */
  readonly clients: Readonly<Partial<Record<Flow, number>>>
}

export type Flow = 'h1' | 'h1-new' | 'h1-tls' | 'h1-tls-new' | 'h2' | 'tcp' | 'tls' | 'websocket' | 'wss'

const options = JSON.parse(process.argv[2] ?? '') as ClientOptions
const { ports, ca } = options
const journal = new Journal(options.journal, true)
const pacer = new Pacer(options.rate)
const FLUSH_MS = 100
const STREAMS_OF_ONE = 4 // requests at a time on an HTTP/2 connection
let count = 0
let over = false

async function record(
  flow: string,
  service: Service,
  work: (id: string) => Promise<Ending>,
  id = `${options.letter}${count++}`,
): Promise<void> {
  journal.write('sent', id, options.relayed ? `${flow}@${frontOf(service)}` : flow)
  const { outcome, detail } = await work(id)
  journal.write('ended', id, outcome, detail)
}

/** Asks one after the other. */
async function requests(
  flow: string,
  service: Service,
  random: Random,
  client: { ask(ask: Ask): Promise<Ending> },
): Promise<void> {
  while (!over) {
    await pacer.turn()
    if (over) return
    const ask = drawAsk(random, `${options.letter}${count++}`)
    await record(`${flow}-${ask.method.toLowerCase()}`, service, () => client.ask(ask), ask.id)
  }
}

async function streams(flow: string, service: Service, work: (id: string) => Promise<Ending>): Promise<void> {
  while (!over) {
    await pacer.turn()
    if (!over) await record(flow, service, work)
  }
}

async function http1(flow: string, service: 'web' | 'secure', random: Random, keepAlive: boolean): Promise<void> {
  const client = new Http1Client({ port: ports[service], keepAlive, ...(service === 'secure' ? { ca } : {}) })
  await requests(flow, service, random, client)
  client.close()
}

async function http2(flow: string, random: Random): Promise<void> {
  const client = new Http2Client(ports.secure, ca)
  await Promise.all(Array.from({ length: STREAMS_OF_ONE }, () => requests(flow, 'secure', random, client)))
  client.close()
}

const isOver = (): boolean => over
const WORK: Record<Flow, (random: Random) => Promise<void>> = {
  h1: (random) => http1('h1', 'web', random, true),
  'h1-new': (random) => http1('h1-new', 'web', random, false),
  'h1-tls': (random) => http1('h1-tls', 'secure', random, true),
  'h1-tls-new': (random) => http1('h1-tls-new', 'secure', random, false),
  h2: (random) => http2('h2', random),
  tcp: (random) => streams('tcp', 'tcp', (id) => echoBytes(id, random, { port: ports.tcp, over: isOver })),
  tls: (random) => streams('tls', 'tls', (id) => echoBytes(id, random, { port: ports.tls, ca, over: isOver })),
  websocket: (random) =>
    streams('websocket', 'web', (id) => echoMessages(id, random, { port: ports.web, over: isOver })),
  wss: (random) => streams('wss', 'secure', (id) => echoMessages(id, random, { port: ports.secure, ca, over: isOver })),
}

const timer = setInterval(() => journal.flush(), FLUSH_MS)
process.on('message', () => {
  over = true
})
process.on('disconnect', () => process.exit(1))
const all: Promise<void>[] = []
for (const [flow, n] of Object.entries(options.clients))
  for (let i = 0; i < n; i++) all.push(WORK[flow as Flow](new Random(options.seed + all.length)))
process.send?.('listening')
await Promise.all(all)
clearInterval(timer)
journal.close()
process.removeAllListeners('disconnect')
process.disconnect()
