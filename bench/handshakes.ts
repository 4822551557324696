/**
 * A new TLS connection for each request, so many at a time; `node handshakes.ts ADDRESS PATH CONNECTIONS SECONDS full|resumed`,
 * prints figures as wrk.lua does. With `resumed` each worker takes up the session of its connection before; it fails when
 * one was not taken up, as the figures would be of something else.
 */
import { connect } from 'node:tls'
import { quantile } from './stats.ts'

const TIMEOUT_MS = 5000

const [address = '', path = '', connections = '', seconds = '', kind = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const request = `GET ${path} HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`
const resumed = kind === 'resumed'

const errors = { connect: 0, read: 0, write: 0, timeout: 0, status: 0 }
const times: number[] = []
let bytes = 0
let notResumed = 0

/** One connection with one request. Answers with the session for the next one. */
function ask(session: Buffer | undefined, counted: boolean): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const began = performance.now()
    const socket = connect({
      host,
      port: Number(port),
      rejectUnauthorized: false, // it has been made for this run
      minVersion: 'TLSv1.3',
      ecdhCurve: 'X25519', // what all of them have: a hybrid key exchange would be more work for who has it
      ALPNProtocols: ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    })
    let next = session
    let answer = ''
    let secure = false
    let failed = false
    socket.setTimeout(TIMEOUT_MS, () => {
      failed = true
      errors.timeout++
      socket.destroy()
    })
    socket.setEncoding('latin1')
    socket.on('secureConnect', () => {
      secure = true
      if (counted && resumed && !socket.isSessionReused()) notResumed++
      socket.write(request)
    })
    if (resumed) {
      socket.on('session', (ticket: Buffer) => {
        next = ticket
      })
    }
    socket.on('data', (piece: string) => {
      answer += piece
    })
    socket.on('error', () => {
      if (failed) return
      failed = true
      errors[secure ? 'read' : 'connect']++
    })
    socket.on('close', () => {
      bytes += answer.length
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(answer)?.[1])
      const whole = answer.length === answer.indexOf('\r\n\r\n') + 4 + length
      if (!failed && !answer.startsWith('HTTP/1.1 200')) errors.status++
      else if (!failed && !whole) errors.read++
      else if (!failed && counted) times.push(performance.now() - began)
      resolve(next)
    })
  })
}

async function work(until: number): Promise<void> {
  let session = resumed ? await ask(undefined, false) : undefined
  while (performance.now() < until) {
    const next = await ask(session, true)
    if (resumed) session = next
  }
}

const began = performance.now()
await Promise.all(Array.from({ length: Number(connections) }, () => work(began + Number(seconds) * 1000)))
if (notResumed > 0) throw new Error(`${notResumed} of ${times.length} handshakes were not resumed`)
const figures = {
  requests: times.length,
  micros: Math.round((performance.now() - began) * 1000),
  bytes,
  p50Micros: times.length > 0 ? Math.round(quantile(times, 0.5) * 1000) : 0,
  p99Micros: times.length > 0 ? Math.round(quantile(times, 0.99) * 1000) : 0,
  errors,
}
process.stdout.write(`${JSON.stringify(figures)}\n`)
