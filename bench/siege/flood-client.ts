/** Floods as fast as it is let to, connection after connection; `node flood-client.ts ADDRESS FLOOD SECONDS`. */
import { connect } from 'node:net'
import { FLOODS, type Flood } from './flood-frames.ts'

const AT_A_TIME = 4
const BATCH = 64 // pieces in one write

const [address = '', name = '', seconds = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const end = performance.now() + Number(seconds) * 1000
let sent = 0
let connections = 0
/** Those that the balancer ended. */
let ended = 0

function flood({ start, again }: Flood): Promise<void> {
  return new Promise((resolve) => {
    let i = 0
    let over = false
    const socket = connect({ host, port: Number(port), noDelay: true })
    const pour = (): void => {
      if (over || again === null) return
      if (performance.now() > end) return void socket.destroy()
      const pieces: Buffer[] = []
      for (let n = 0; n < BATCH; n++) pieces.push(again(i++))
      sent += BATCH
      if (socket.write(Buffer.concat(pieces))) setImmediate(pour)
      else socket.once('drain', pour)
    }
    socket.once('connect', () => {
      connections++
      socket.write(start)
      pour()
    })
    // Of a handshake the answer is the costly part: it is waited for, and left.
    socket.on('data', () => {
      if (again !== null) return
      sent++
      socket.resetAndDestroy()
    })
    socket.on('error', () => undefined)
    socket.on('end', () => ended++)
    socket.on('close', () => {
      over = true
      resolve()
    })
    setTimeout(() => socket.destroy(), Math.max(0, end - performance.now())).unref()
  })
}

const chosen = FLOODS[name]
if (chosen === undefined) throw new Error(`there is no flood ${name}`)
await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    while (performance.now() < end) await flood(chosen)
  }),
)
process.stdout.write(JSON.stringify({ sent, connections, ended }))
