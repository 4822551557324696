/** HAProxy's agent-check: connects, says what it is told to say, and reads one line. */
import { connect } from 'node:net'
import type { LoadConfig } from '../config/index.ts'
import { type Address, codeOf, messageOf } from '../core/index.ts'
import { AgentFailure, type LoadAgent } from './contract.ts'
import { parseAgentLine } from './line.ts'

const MAX_LINE = 1024 // a few words and a reason

export const createTcpAgent = ({ send }: Pick<LoadConfig, 'send'>): LoadAgent => ({
  ask: async (target, signal) => parseAgentLine(await readLine(target, send, signal)),
})

function readLine({ host, port }: Address, send: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new AgentFailure('aborted before the connect'))
    const socket = connect({ host, port })
    let text = ''
    let connected = false
    const end = (): void => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
    }
    const fail = (why: string, cause?: unknown): void => {
      end()
      reject(new AgentFailure(why, cause))
    }
    const onAbort = (): void => fail('no complete line in time')
    signal.addEventListener('abort', onAbort)
    socket.setEncoding('latin1')
    socket.once('connect', () => {
      connected = true
      if (send !== '') socket.write(send)
    })
    socket.on('data', (piece: string) => {
      text += piece
      const at = text.search(LINE_END)
      const line = at < 0 ? text : text.slice(0, at)
      if (line.length > MAX_LINE) fail('the line is too long')
      else if (line.includes('\0')) fail('the line has a NUL')
      else if (at >= 0) {
        end()
        resolve(line)
      }
    })
    // A line that was cut off may say the opposite of what was meant.
    socket.once('end', () => fail('the line has no end'))
    socket.on('error', (error) =>
      fail(`${connected ? 'read' : 'connect'} failed: ${codeOf(error) || messageOf(error)}`, error),
    )
  })
}

const LINE_END = /[\r\n]/ // either, as HAProxy has it
