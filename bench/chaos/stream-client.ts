/** Streams that live for some seconds: bytes over TCP or TLS, messages over a WebSocket. All of it comes back, or the stream is cut. */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { WebSocket } from 'ws'
import type { Random } from '../../fuzz/random.ts'
import { codeOf } from '../../lib/core/index.ts'
import { contentOf, differenceOf } from './content.ts'
import { SILENCE_MS } from './http1-client.ts'
import type { Ending } from './request.ts'

const SIZES = [1, 100, 1000, 9000, 70_000]
const MOST_PIECES = 30
const MOST_PAUSE = 300 // ms between two pieces

export interface StreamOptions {
  readonly port: number
  readonly ca?: string
  /** No more is sent: the stream ends as its client wants. */
  readonly over: () => boolean
}

/** Bytes there and back, and then the end there and back. */
export function echoBytes(id: string, random: Random, { port, ca, over }: StreamOptions): Promise<Ending> {
  const at = { host: '127.0.0.1', port, allowHalfOpen: true }
  const socket: Socket = ca === undefined ? connect(at) : connectTls({ ...at, ca })
  const expected: Buffer[] = []
  return new Promise((resolve) => {
    let open = false
    let sent = 0
    let got = 0
    const end = (outcome: Ending['outcome'], detail = ''): void => {
      clearTimeout(timer)
      resolve({ outcome, detail })
      socket.destroy()
    }
    const timer = setTimeout(() => end('late', `${got}-of-${sent}`), SILENCE_MS)
    const talk = async (): Promise<void> => {
      open = true
      for (let i = random.below(MOST_PIECES); i >= 0 && !over() && socket.writable; i--) {
        const bytes = contentOf(`${id}s${i}`, random.pick(SIZES))
        expected.push(bytes)
        sent += bytes.length
        socket.write(bytes)
        timer.refresh()
        await delay(random.below(MOST_PAUSE))
      }
      socket.end()
    }
    socket.on(ca === undefined ? 'connect' : 'secureConnect', () => void talk())
    socket.on('error', (error) =>
      end(codeOf(error) === 'ECONNREFUSED' ? 'refused' : open ? 'cut' : 'none', codeOf(error)),
    )
    socket.on('data', (bytes: Buffer) => {
      timer.refresh()
      got += bytes.length
      for (let rest = bytes; rest.length > 0; ) {
        const [first] = expected
        const piece = first?.subarray(0, rest.length)
        if (piece === undefined || first === undefined) return end('wrong', `${rest.length}-bytes-that-nobody-sent`)
        if (!piece.equals(rest.subarray(0, piece.length))) return end('wrong', differenceOf(piece, rest))
        if (piece.length === first.length) expected.shift()
        else expected[0] = first.subarray(piece.length)
        rest = rest.subarray(piece.length)
      }
    })
    socket.on('end', () =>
      socket.writableEnded && got === sent ? end('whole') : end('cut', `end-after-${got}-of-${sent}`),
    )
    socket.on('close', () => end(open ? 'cut' : 'none', 'closed'))
  })
}

/** Messages there and back, one after the other, and then a close that is answered. */
export function echoMessages(id: string, random: Random, { port, ca, over }: StreamOptions): Promise<Ending> {
  const socket = new WebSocket(`${ca === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}/ws/${id}`, {
    ...(ca === undefined ? {} : { ca }),
    perMessageDeflate: false,
  })
  return new Promise((resolve) => {
    let left = random.below(MOST_PIECES)
    let expected: Buffer | null = null
    let closing = false
    let open = false
    const end = (outcome: Ending['outcome'], detail = ''): void => {
      clearTimeout(timer)
      resolve({ outcome, detail })
      socket.terminate()
    }
    const timer = setTimeout(() => end('late', `${left}-messages-left`), SILENCE_MS)
    const next = (): void => {
      timer.refresh()
      if (left-- <= 0 || over()) {
        closing = true
        return socket.close(1000)
      }
      expected = contentOf(`${id}m${left}`, random.pick(SIZES))
      socket.send(expected)
    }
    socket.on('open', () => {
      open = true
      next()
    })
    socket.on('message', (data: Buffer) => {
      if (expected === null) return end('wrong', `${data.length}-bytes-that-nobody-sent`)
      if (!expected.equals(data)) return end('wrong', differenceOf(expected, data))
      expected = null
      setTimeout(next, random.below(MOST_PAUSE))
    })
    socket.on('unexpected-response', (_request, response) => end(`${response.statusCode ?? 0}`))
    socket.on('error', (error) =>
      end(codeOf(error) === 'ECONNREFUSED' ? 'refused' : open ? 'cut' : 'none', codeOf(error)),
    )
    socket.on('close', (code) => (closing && code === 1000 ? end('whole') : end(open ? 'cut' : 'none', `code-${code}`)))
  })
}
