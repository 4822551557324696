/** Asks a backend for TLS on its plain connection, in the words of the protocol. */
import type { Socket } from 'node:net'
import type { Ask } from './contract.ts'
import { MAX_HEARD } from './hearing.ts'

/**
 * `done` gets null when the handshake may begin, else what is wrong; the socket is paused then. Its errors and its close are
 * the caller's business.
 */
export function askForTls(socket: Socket, asks: readonly Ask[], done: (problem: string | null) => void): void {
  let input: Buffer = Buffer.alloc(0)
  let turn = 0
  const over = (problem: string | null): void => {
    socket.off('data', onData).off('end', onEnd).pause()
    done(problem)
  }
  const onEnd = (): void => over('the backend closed the connection before TLS')
  const onData = (bytes: Buffer): void => {
    input = Buffer.concat([input, bytes])
    for (let ask = asks[turn]; ask !== undefined; ask = asks[turn]) {
      const heard = ask.hear(input)
      if (typeof heard === 'string') return over(heard)
      if (heard === null) break
      input = input.subarray(heard)
      turn++
      const next = asks[turn]
      // What came before the handshake, and was not asked for, is nobody's word (CVE-2011-0411).
      if (next === undefined) return over(input.length === 0 ? null : 'data before the TLS handshake')
      if (next.say.length > 0) socket.write(next.say)
    }
    if (input.length > MAX_HEARD) over('the answer is too long')
  }
  socket.on('data', onData).on('end', onEnd)
  const [first] = asks
  if (first !== undefined && first.say.length > 0) socket.write(first.say)
  socket.resume()
}
