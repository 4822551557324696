/** Holds idle keep-alive connections; `node idle-clients.ts ADDRESS PORT COUNT http|https`, ends when its stdin does. */
import { connect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'

const AT_A_TIME = 64 // few, so that few connections to the backends are needed
const BODY_BYTES = 1024

const [host = '', port = '', count = '', scheme = 'http'] = process.argv.slice(2)
// The certificate has been made for this run; and a group that all balancers have: the keys of a hybrid one stay, 8 KiB of them.
const SECURITY = { rejectUnauthorized: false, ecdhCurve: 'X25519' }
const held = new Set<Socket>()

/** Connects, makes one request, and keeps the connection. */
function hold(): Promise<void> {
  return new Promise((resolve, reject) => {
    const ask = () => socket.write(`GET /1k HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`)
    const socket: Socket =
      scheme === 'http' ? connect(Number(port), host, ask) : tlsConnect({ port: Number(port), host, ...SECURITY }, ask)
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk
      const head = text.indexOf('\r\n\r\n')
      if (head === -1 || text.length < head + 4 + BODY_BYTES) return
      if (!text.startsWith('HTTP/1.1 200')) reject(new Error(`answered with ${text.slice(0, 40)}`))
      held.add(socket)
      text = ''
      socket.removeAllListeners('data').resume()
      resolve()
    })
    socket.on('error', reject).on('close', () => {
      held.delete(socket)
      reject(new Error('closed before the answer was complete'))
    })
  })
}

let left = Number(count)
async function worker(): Promise<void> {
  while (left > 0) {
    left -= 1
    await hold()
  }
}
await Promise.all(Array.from({ length: AT_A_TIME }, worker))
process.stdout.write(`${held.size}\n`)

process.stdin.resume().once('end', () => {
  process.stdout.write(`${held.size}\n`, () => process.exit())
})
