/** POP3 (RFC 2595 §4): CAPA offers STLS, and nothing else is done before it. */
import type { Ask, PreambleFactory } from './contract.ts'
import { askInLines, bytesOf, stepOfLine } from './lines.ts'

const ask = (say: string): Ask => askInLines(say, (line) => /^\+OK\b/i.test(line) || `POP3 ${JSON.stringify(line)}`)

export const pop3: PreambleFactory = (name) => ({
  greeting: bytesOf(`+OK ${name} ready\r\n`),
  farewell: bytesOf('-ERR Closing the connection\r\n'),
  hello: ask(''),
  asks: [ask(''), ask('STLS\r\n')],
  step: (input) =>
    stepOfLine(input, (line) => {
      switch (line.toUpperCase()) {
        case 'CAPA':
          return ['+OK\r\nSTLS\r\n.\r\n']
        case 'STLS':
          return ['+OK Begin TLS now\r\n', 'tls']
        case 'QUIT':
          return ['+OK Bye\r\n', 'close']
        default:
          return ['-ERR Use STLS first\r\n']
      }
    }),
})
