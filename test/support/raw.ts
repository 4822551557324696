/** A client that sends exactly the bytes it is told to, and reads answers strictly. */
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import { within } from './eventually.ts'
import { BodyReader, type Field, type Framing, framingOf, type Head, MalformedMessage, readHead } from './message.ts'

export interface RawResponse extends Head {
  readonly status: number
  readonly version: string
  readonly body: Buffer
  readonly framing: Framing
  readonly chunkLines: readonly string[]
  readonly trailers: readonly Field[]
  /** The 1xx answers that came before this one. */
  readonly interim: readonly RawResponse[]
}

interface ReadOptions {
  /** The method asked with: an answer to HEAD has no body. */
  readonly method?: string
  /** Hand out a 1xx answer as one of its own instead of collecting it. */
  readonly interim?: boolean
  readonly deadline?: number
}

export type Ending = 'end' | 'reset'

export class RawClient {
  readonly socket: Socket
  /** How the balancer ended its direction: `end` is a FIN, `reset` a RST. */
  readonly closed: Promise<Ending>
  ending: Ending | undefined
  #arrived: Buffer[] = []
  #size = 0
  #wake: () => void = () => undefined
  #resolveClosed: (ending: Ending) => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => {
      this.#arrived.push(bytes)
      this.#size += bytes.length
      this.#wake()
    })
    socket.on('end', () => this.#end('end'))
    socket.on('error', () => this.#end('reset'))
    socket.on('close', () => this.#end('reset'))
  }

  /** What arrived and was not read as part of a response. */
  get pending(): Buffer {
    if (this.#arrived.length !== 1) this.#arrived = [Buffer.concat(this.#arrived)]
    return this.#arrived[0] ?? Buffer.alloc(0)
  }
  set pending(bytes: Buffer) {
    this.#arrived = [bytes]
    this.#size = bytes.length
  }

  #end(ending: Ending): void {
    this.ending ??= ending
    this.#resolveClosed(this.ending)
    this.#wake()
  }

  send(bytes: string | Buffer): void {
    if (this.socket.writable) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends pieces of the given sizes, the last size again and again, each as a segment of its own. */
  async sendSplit(bytes: string | Buffer, sizes: readonly number[], between?: () => Promise<unknown>): Promise<void> {
    const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    let at = 0
    for (let i = 0; at < all.length; i++) {
      const size = Math.max(1, sizes[Math.min(i, sizes.length - 1)] ?? 1)
      this.send(all.subarray(at, at + size))
      at += size
      if (between !== undefined && at < all.length) await between()
      else await new Promise((done) => setImmediate(done))
    }
  }

  async readResponse(options: ReadOptions = {}): Promise<RawResponse> {
    const end = performance.now() + (options.deadline ?? 5000)
    const interim: RawResponse[] = []
    for (;;) {
      const response = await this.#readOne(options.method ?? 'GET', interim, end)
      if (response.status >= 200 || response.status === 101 || options.interim === true) return response
      interim.push(response)
    }
  }

  async #readOne(method: string, interim: readonly RawResponse[], end: number): Promise<RawResponse> {
    let head = readHead(this.pending)
    while (head === undefined) {
      if (this.ending !== undefined) throw new Error(`closed (${this.ending}) before a response: ${this.#seen()}`)
      await this.#more(end, 'the head of a response')
      head = readHead(this.pending)
    }
    const match = /^(HTTP\/1\.[01]) ([1-9]\d\d) [\t\x20-\x7e\x80-\xff]*$/.exec(head.startLine)
    if (match === null) throw new MalformedMessage(`status line ${JSON.stringify(head.startLine)}`)
    const status = Number(match[2])
    const said = framingOf(head.fields)
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304
    const framing = bodiless ? 'none' : said.framing === 'none' ? 'close' : said.framing
    const reader = new BodyReader(framing, said.length)
    this.pending = reader.push(this.pending.subarray(head.text.length))
    while (!reader.done) {
      if (this.ending === 'reset') throw new MalformedMessage(`reset after ${reader.bytes.length} bytes of body`)
      if (this.ending === 'end') reader.end()
      else {
        await this.#more(end, 'the rest of a body')
        const bytes = this.pending
        this.pending = Buffer.alloc(0)
        this.pending = reader.push(bytes)
      }
    }
    const { chunkLines, trailers, bytes: body } = reader
    return { ...head, status, version: match[1] ?? '', body, framing, chunkLines, trailers, interim: [...interim] }
  }

  /** Everything that still comes, until the balancer ends the connection. */
  async readUntilClose(deadline = 5000): Promise<Buffer> {
    const end = performance.now() + deadline
    while (this.ending === undefined) await this.#more(end, 'the end of the connection')
    const bytes = this.pending
    this.pending = Buffer.alloc(0)
    return bytes
  }

  /** At least `n` unread bytes: for tunnels. */
  async readBytes(n: number, deadline = 5000): Promise<Buffer> {
    const end = performance.now() + deadline
    while (this.#size < n) {
      if (this.ending !== undefined) throw new Error(`closed (${this.ending}) with ${this.#size} of ${n} bytes`)
      await this.#more(end, `${n} bytes`)
    }
    const bytes = this.pending.subarray(0, n)
    this.pending = this.pending.subarray(n)
    return bytes
  }

  /** Waits for the balancer to end the connection, whatever comes before. */
  async untilClosed(deadline = 5000): Promise<Ending> {
    return within(this.closed, 'the end of the connection', deadline)
  }

  end(): void {
    this.socket.end()
  }
  reset(): void {
    this.socket.resetAndDestroy()
  }
  destroy(): void {
    this.socket.destroy()
  }

  #seen(): string {
    return JSON.stringify(this.pending.toString('latin1', 0, 300))
  }

  async #more(end: number, what: string): Promise<void> {
    const had = this.#size
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    if (this.#size !== had || this.ending !== undefined) return
    await within(woken, () => `${what}; unread: ${this.#seen()}`, Math.max(1, Math.round(end - performance.now())))
  }
}

/** The client, connected. `allowHalfOpen` so that only the test ends its own direction. */
export async function connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
  const socket = dial({ port, host, allowHalfOpen: true })
  const client = new RawClient(socket)
  await within(once(socket, 'connect'), `a connection to ${host}:${port}`)
  return client
}

/** One request on a connection of its own, and its answer. The connection is gone afterwards. */
export async function roundTrip(port: number, bytes: string | Buffer, options?: ReadOptions): Promise<RawResponse> {
  const client = await connect(port)
  try {
    client.send(bytes)
    return await client.readResponse(options)
  } finally {
    client.destroy()
  }
}
