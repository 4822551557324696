/** Clients of many kinds as a process of its own. `client-process.ts JSON`, see `ClientOptions`; ends when told so. */
import { Random } from '../../fuzz/random.ts'
import { Http1Client } from './http1-client.ts'
import { Http2Client } from './http2-client.ts'
import { Journal } from './journal.ts'
import { Pacer } from './pacer.ts'
import { type Ask, drawAsk, type Ending } from './request.ts'
import { echoBytes, echoMessages } from './stream-client.ts'

export interface ClientOptions {
  /** The first of its ids: one letter. */
  readonly letter: string
  readonly seed: number
  readonly journal: string
  readonly ports: Readonly<Record<'web' | 'secure' | 'tcp' | 'tls', number>>
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
  work: (id: string) => Promise<Ending>,
  id = `${options.letter}${count++}`,
): Promise<void> {
  journal.write('sent', id, flow)
  const { outcome, detail } = await work(id)
  journal.write('ended', id, outcome, detail)
}

/** Asks one after the other. */
async function requests(flow: string, random: Random, client: { ask(ask: Ask): Promise<Ending> }): Promise<void> {
  while (!over) {
    await pacer.turn()
    if (over) return
    const ask = drawAsk(random, `${options.letter}${count++}`)
    await record(`${flow}-${ask.method.toLowerCase()}`, () => client.ask(ask), ask.id)
  }
}

async function streams(flow: string, work: (id: string) => Promise<Ending>): Promise<void> {
  while (!over) {
    await pacer.turn()
    if (!over) await record(flow, work)
  }
}

async function http1(
  flow: string,
  random: Random,
  port: number,
  keepAlive: boolean,
  authority?: string,
): Promise<void> {
  const client = new Http1Client({ port, keepAlive, ...(authority === undefined ? {} : { ca: authority }) })
  await requests(flow, random, client)
  client.close()
}

async function http2(flow: string, random: Random): Promise<void> {
  const client = new Http2Client(ports.secure, ca)
  await Promise.all(Array.from({ length: STREAMS_OF_ONE }, () => requests(flow, random, client)))
  client.close()
}

const isOver = (): boolean => over
const WORK: Record<Flow, (random: Random) => Promise<void>> = {
  h1: (random) => http1('h1', random, ports.web, true),
  'h1-new': (random) => http1('h1-new', random, ports.web, false),
  'h1-tls': (random) => http1('h1-tls', random, ports.secure, true, ca),
  'h1-tls-new': (random) => http1('h1-tls-new', random, ports.secure, false, ca),
  h2: (random) => http2('h2', random),
  tcp: (random) => streams('tcp', (id) => echoBytes(id, random, { port: ports.tcp, over: isOver })),
  tls: (random) => streams('tls', (id) => echoBytes(id, random, { port: ports.tls, ca, over: isOver })),
  websocket: (random) => streams('websocket', (id) => echoMessages(id, random, { port: ports.web, over: isOver })),
  wss: (random) => streams('wss', (id) => echoMessages(id, random, { port: ports.secure, ca, over: isOver })),
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
