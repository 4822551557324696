/** A proxy before a backend that tells one lie at a time, now and then, and writes down about whom; else it is honest. */
import { once } from 'node:events'
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, connect as dial, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Journal } from './journal.ts'
import { type Answer, httpLie, type LieName, streamLie, type Turn } from './lies.ts'

const EVERY = 3 // requests of which one is lied about
const LEAST = 100 // bytes of an answer, request or message: below, a lie may be the truth
const REQUEST = /^\/r\/([a-z]\d+)\/(\d+)$/
const SOCKET = /^\/ws\/([a-z]\d+)$/
const STREAM = /([a-z]\d+)s\d+@0;/ // the beginning of a piece that is longer than a byte
const OPENING = 4096 // bytes of a stream in which that is looked for
const agent = new Agent({ keepAlive: true })

export class Liar {
  readonly #journal: Journal
  readonly #host: string
  #lie: LieName | null = null
  #turn = 0

  constructor(host: string, journal: Journal) {
    this.#host = host
    this.#journal = journal
  }

  lie(name: LieName | null): void {
    this.#lie = name
  }

  #write(id: string, lie: LieName): void {
    this.#journal.write('lied', id, lie)
  }

  /** Goes between whoever comes to `port` and the HTTP backend at `to`. */
  async web(port: number, to: number): Promise<void> {
    const server = createServer({ keepAliveTimeout: 0 }, (request, response) =>
      this.#serve(request, response, to).catch(() => response.destroy()),
    )
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(request, socket, head, to),
    )
    await once(server.listen(port, this.#host), 'listening')
  }

  /** The same for streams. */
  async streams(port: number, to: number): Promise<void> {
    const server = createTcpServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = this.#dial(to)
      let opening = ''
      let id = ''
      this.#join(near, far, 'tcp', (bytes) => {
        if (id === '' && opening.length < OPENING) {
          opening += bytes.toString('latin1')
          id = STREAM.exec(opening)?.[1] ?? ''
        }
        return id
      })
      near.pipe(far)
    })
    await once(server.listen(port, this.#host), 'listening')
  }

  #dial(port: number): Socket {
    return dial({ host: this.#host, port, allowHalfOpen: true, noDelay: true })
  }

  async #serve(request: IncomingMessage, response: ServerResponse, to: number): Promise<void> {
    const body = await wholeOf(request)
    const { method = 'GET', url = '', rawHeaders } = request
    const [, id = '', size = ''] = REQUEST.exec(url) ?? []
    const headers = fieldsOf(rawHeaders)
    const turn: Turn = {
      ...{ id, size: Number(size), body, response },
      ask: (other = body) => ask({ host: this.#host, port: to, method, path: url, headers }, other),
      answer: (status, bytes) => void response.writeHead(status, { 'content-length': bytes.length }).end(bytes),
    }
    const name = this.#lie
    const lie = name === null ? undefined : httpLie(name)
    const fit = id !== '' && turn.size >= LEAST && (method === 'GET' || body.length >= LEAST)
    const told = name !== null && lie !== undefined && fit && (lie.of === 'any' || lie.of === method)
    if (told && this.#turn++ % EVERY === 0) {
      this.#write(id, name)
      return lie.tell(turn)
    }
    const answer = await turn.ask()
    turn.answer(answer.status, answer.body)
  }

  #upgrade({ rawHeaders, url = '' }: IncomingMessage, near: Socket, head: Buffer, to: number): void {
    const far = this.#dial(to)
    const [, id = ''] = SOCKET.exec(url) ?? []
    const lines = [`GET ${url} HTTP/1.1`]
    for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
    far.write(`${lines.join('\r\n')}\r\n\r\n`)
    far.write(head)
    let switched = false
    this.#join(near, far, 'websocket', (bytes) => {
      const behind = switched && bytes.length >= LEAST
      switched = true
      return behind ? id : ''
    })
    near.pipe(far)
  }

  /** Passes on what the far side says; `idOf` tells whose it is, '' while nothing may be said of it. */
  #join(near: Duplex, far: Socket, kind: 'tcp' | 'websocket', idOf: (bytes: Buffer) => string): void {
    let lied = false
    const end = (): void => {
      near.destroy()
      far.destroy()
    }
    far.on('data', (bytes: Buffer) => {
      const id = idOf(bytes)
      const name = this.#lie
      const lie = name === null ? undefined : streamLie(name)
      let out: Buffer | null = bytes
      if (!lied && id !== '' && name !== null && lie?.of === kind) {
        lied = true
        this.#write(id, name)
        out = lie.alter(bytes)
      }
      if (out === null) return end()
      if (!near.write(out)) far.pause()
    })
    near.on('drain', () => far.resume())
    far.on('end', () => near.end())
    near.on('error', end)
    far.on('error', end)
  }
}

async function wholeOf(stream: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of stream) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** What goes on of a head: the framing is ours. */
function fieldsOf(raw: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase()
    if (!['connection', 'content-length', 'transfer-encoding'].includes(name)) fields[name] = raw[i + 1] ?? ''
  }
  return fields
}

interface Way {
  readonly host: string
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

async function ask(way: Way, body: Buffer): Promise<Answer> {
  const headers = { ...way.headers, ...(way.method === 'POST' ? { 'content-length': body.length } : {}) }
  const request = httpRequest({ ...way, headers, agent })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, body: await wholeOf(response) }
}
