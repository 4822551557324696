/** One question to a backend over UDP, and the wait for its answer. */
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type Address, codeOf, messageOf } from '../core/index.ts'
import { ProbeFailure, type ProbeResult } from './contract.ts'

interface Question {
  readonly bytes: Buffer
  /** What the datagram means; null: it is no answer to this question, which forged and late ones are. May throw. */
  readonly judge: (answer: Buffer) => ProbeResult | null
  /** Pass when nothing has come for this long. Default: an answer is needed. */
  readonly quietMs?: number | undefined
}

/**
 * The socket is connected, so that only the backend's own datagrams and refusals arrive.
 * @throws ProbeFailure
 */
export function ask({ host, port }: Address, signal: AbortSignal, question: Question): Promise<ProbeResult> {
  return new Promise((pass, fail) => {
    if (signal.aborted) {
      fail(new ProbeFailure('timeout', 'aborted before the question'))
      return
    }
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    let quiet: NodeJS.Timeout | undefined
    let open = true
    const settle = (finish: () => void): void => {
      if (!open) return
      open = false
      clearTimeout(quiet)
      signal.removeEventListener('abort', onAbort)
      socket.close()
      finish()
    }
    const onAbort = (): void => settle(() => fail(new ProbeFailure('timeout', 'no usable answer in time')))
    const onError = (error: Error): void => {
      const text = codeOf(error) === 'ECONNREFUSED' ? 'the port is not open' : codeOf(error) || messageOf(error)
      settle(() => fail(new ProbeFailure('connect', text, error)))
    }
    signal.addEventListener('abort', onAbort)
    socket.on('error', onError)
    socket.on('message', (answer) => {
      try {
        const result = question.judge(answer)
        if (result !== null) settle(() => pass(result))
      } catch (error) {
        settle(() => fail(error))
      }
    })
    socket.once('connect', () => {
      socket.send(question.bytes, (error) => {
        if (error) onError(error)
      })
      if (question.quietMs === undefined) return
      quiet = setTimeout(() => settle(() => pass({ detail: 'sent, and not refused' })), question.quietMs)
    })
    socket.connect(port, host)
  })
}
