/** What is said in clear text before a mail server speaks TLS. */
import type { Socket } from 'node:net'

export type StartTls = 'smtp' | 'imap' | 'pop3'

interface Step {
  /** '': it speaks first. */
  readonly say: string
  /** The line that ends its answer, if it is to go on. */
  readonly expect: RegExp
}

/** RFC 3207 §4, RFC 3501 §6.2.1, RFC 2595 §4. */
const DIALOGUES: Readonly<Record<StartTls, readonly Step[]>> = {
  smtp: [
    { say: '', expect: /^220(?: |$)/ },
    { say: 'EHLO evenkeel\r\n', expect: /^250(?: |$)/ },
    { say: 'STARTTLS\r\n', expect: /^220(?: |$)/ },
  ],
  imap: [
    { say: '', expect: /^\* (?:OK|PREAUTH)/i },
    { say: 'a STARTTLS\r\n', expect: /^a OK/i },
  ],
  pop3: [
    { say: '', expect: /^\+OK/i },
    { say: 'STLS\r\n', expect: /^\+OK/i },
  ],
}

/** Lines before the last one of an answer. */
const MORE: Readonly<Record<StartTls, RegExp>> = { smtp: /^\d{3}-/, imap: /^\* /, pop3: /^$/ }
const MAX_BYTES = 16 * 1024 // of an answer

/** Resolves when the other side waits for a handshake. Rejects when it refuses, or says more than it may. */
export async function startTls(socket: Socket, protocol: StartTls): Promise<void> {
  for (const { say, expect } of DIALOGUES[protocol]) {
    if (say !== '') socket.write(say)
    const line = await lastLine(socket, MORE[protocol], expect)
    if (!expect.test(line)) throw new Error(`the server does not start TLS: ${line.slice(0, 200)}`)
  }
}

/** The last line of an answer. What follows it in clear text would be taken for what was said in secret, so nothing may. */
function lastLine(socket: Socket, more: RegExp, expect: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const settle = (act: () => void): void => {
      socket.off('data', onData).off('error', onError).off('close', onClose)
      socket.pause()
      act()
    }
    const onError = (error: Error): void => settle(() => reject(error))
    const onClose = (): void => settle(() => reject(new Error('the server closed the connection before TLS')))
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      if (text.length > MAX_BYTES) return settle(() => reject(new Error('the server says too much before TLS')))
      const lines = text.split('\r\n')
      const rest = lines.pop() ?? ''
      const last = lines.findIndex((line) => expect.test(line) || !more.test(line))
      if (last < 0) return
      if (last < lines.length - 1 || rest !== '')
        return settle(() => reject(new Error('the server goes on in clear text where TLS belongs')))
      settle(() => resolve(lines[last] ?? ''))
    }
    socket.on('data', onData).on('error', onError).on('close', onClose)
    socket.resume()
  })
}
