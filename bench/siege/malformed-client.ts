/** Sends malformed requests as fast as it can and checks each answer; `node malformed-client.ts ADDRESS SECONDS`. */
import { connect } from 'node:net'
import { MALFORMED, type Malformed } from './malformed-requests.ts'

const AT_A_TIME = 32
const LATE_MS = 5000

const [address = '', seconds = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const end = performance.now() + Number(seconds) * 1000
const wrong: Record<string, number> = {}
let sent = 0

/** Sends one on a connection of its own; answers with what came until the balancer ended the connection. */
function ask({ bytes }: Malformed): Promise<string> {
  return new Promise((resolve) => {
    let answer = 'no connection'
    const socket = connect({ host, port: Number(port), noDelay: true }, () => {
      answer = ''
      socket.write(bytes)
    })
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    socket.setTimeout(LATE_MS, () => {
      answer += ' and no end'
      socket.destroy()
    })
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => resolve(answer))
  })
}

async function work(first: number): Promise<void> {
  for (let i = first; performance.now() < end; i++) {
    const request = MALFORMED[i % MALFORMED.length]
    if (request === undefined) return
    const answer = await ask(request)
    sent += 1
    const whole = answer.includes('\r\n\r\n')
    const status =
      (whole && /^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]) || (answer === '' ? 'no answer' : answer.slice(0, 20))
    const late = answer.endsWith(' and no end') ? ', connection left open' : ''
    if (status === String(request.status) && late === '') continue
    const what = `${request.title}: ${status}${late}, not ${request.status}`
    wrong[what] = (wrong[what] ?? 0) + 1
  }
}

await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => work(i)))
process.stdout.write(`${JSON.stringify({ sent, wrong })}\n`)
