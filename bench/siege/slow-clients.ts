/** Connections that send a head one byte at a time; `node slow-clients.ts ADDRESS COUNT OPEN_MS EVERY_MS`, ends when all are ended. */
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const HEAD = `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${'x'.repeat(10_000)}`

const [address = '', count = '', openMs = '', everyMs = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const connections = Number(count)
const lives: number[] = []
let answered = 0

/** One connection, until the balancer ends it. */
function trickle(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), noDelay: true })
    let began = 0
    let sent = 0
    let answer = ''
    const send = (): void => {
      if (socket.writable) socket.write(HEAD.charAt(sent++), 'latin1')
    }
    const timer = setInterval(send, Number(everyMs))
    socket.on('connect', () => {
      began = performance.now()
      send()
    })
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => {
      clearInterval(timer)
      lives.push(performance.now() - began)
      if (answer.startsWith('HTTP/1.1 408')) answered += 1
      resolve()
    })
  })
}

const ends: Promise<void>[] = []
const opened = performance.now()
while (ends.length < connections) {
  const due = Math.min(connections, Math.ceil(((performance.now() - opened) / Number(openMs)) * connections))
  while (ends.length < due) ends.push(trickle())
  await delay(5)
}
await Promise.all(ends)
process.stdout.write(
  `${JSON.stringify({ answered, unanswered: connections - answered, shortestMs: Math.min(...lives), longestMs: Math.max(...lives) })}\n`,
)
