/** Asks by HTTP/2, many at a time on one connection, with node's own client. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { codeOf } from '../../lib/core/index.ts'
import { SILENCE_MS } from './http1-client.ts'
import { type Ask, type Ending, endingOf } from './request.ts'

const OPEN_MS = 8000 // of a stream behind its answer: RFC 9113 §8.1 lets a server end it, and ours takes half a second

export class Http2Client {
  readonly #port: number
  readonly #ca: string
  #session: ClientHttp2Session | null = null

  constructor(port: number, ca: string) {
    this.#port = port
    this.#ca = ca
  }

  /** The connection that new requests go by. */
  #present(): ClientHttp2Session {
    if (this.#session !== null && !this.#session.destroyed && !this.#session.closed) return this.#session
    const socket = connectTls({ host: '127.0.0.1', port: this.#port, ca: this.#ca, ALPNProtocols: ['h2'] })
    // Given the socket itself, node (24.21) takes its handle over, and a reset of the connection may never be told.
    const bytes = Duplex.from({ readable: socket, writable: socket })
    const session = connect(`https://127.0.0.1:${this.#port}`, { createConnection: () => bytes })
    const leave = (): void => {
      if (this.#session === session) this.#session = null
    }
    session.on('error', leave)
    session.on('goaway', leave)
    session.on('close', leave)
    socket.on('error', (error) => session.destroy(error))
    socket.on('close', () => session.destroy())
    this.#session = session
    return session
  }

  ask(ask: Ask): Promise<Ending> {
    const session = this.#present()
    return new Promise((resolve) => {
      let stream: ClientHttp2Stream
      try {
        const size = ask.method === 'POST' ? { 'x-size': ask.body.length } : {}
        const length = ask.method === 'POST' && !ask.pieces ? { 'content-length': ask.body.length } : {}
        stream = session.request(
          { ':path': ask.path, ':method': ask.method, ...size, ...length },
          { endStream: ask.method === 'GET' },
        )
      } catch (error) {
        return resolve({ outcome: 'unprocessed', detail: codeOf(error) })
      }
      const pieces: Buffer[] = []
      let status = 0
      let ended = false
      let why = ''
      let open: NodeJS.Timeout | undefined
      const timer = setTimeout(() => {
        resolve({ outcome: 'late', detail: `status-${status}${ended ? '-and-its-end' : ''}` })
        stream.close(constants.NGHTTP2_CANCEL)
      }, SILENCE_MS)
      stream.on('headers', () => timer.refresh())
      stream.on('response', (head) => {
        status = Number(head[':status'])
      })
      stream.on('data', (bytes: Buffer) => {
        timer.refresh()
        pieces.push(bytes)
      })
      stream.on('end', () => {
        ended = true
        // An answer may be whole before the request is; nobody may be left with a stream that never ends.
        open = setTimeout(() => {
          resolve({ outcome: 'late', detail: `status-${status}-and-its-end,-the-stream-is-open` })
          stream.close(constants.NGHTTP2_CANCEL)
        }, OPEN_MS)
      })
      stream.on('error', (error) => {
        why = codeOf(error)
      })
      stream.on('close', () => {
        clearTimeout(timer)
        clearTimeout(open)
        const { rstCode } = stream
        if (status !== 0 && ended && why === '' && rstCode === constants.NGHTTP2_NO_ERROR)
          return resolve(endingOf(ask, status, Buffer.concat(pieces)))
        const detail = why === 'ERR_HTTP2_STREAM_ERROR' || why === '' ? `code-${rstCode}` : why
        if (rstCode === constants.NGHTTP2_REFUSED_STREAM) return resolve({ outcome: 'unprocessed', detail })
        resolve({ outcome: status !== 0 ? 'cut' : why === 'ECONNREFUSED' ? 'refused' : 'none', detail })
      })
      if (ask.method === 'POST') stream.end(ask.body)
    })
  }

  close(): void {
    this.#session?.destroy()
  }
}
