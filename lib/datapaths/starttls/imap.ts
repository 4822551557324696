/** IMAP (RFC 9051 §6.2.1): no login is possible before STARTTLS, and nobody is signed in by the greeting. */
import type { Ask, PreambleFactory } from './contract.ts'
import { askInLines, bytesOf, stepOfLine } from './lines.ts'

const CAPABILITIES = 'IMAP4rev1 STARTTLS LOGINDISABLED'
const TAG = /^[^\s(){%*"\\+\]\x7f-\xff]{1,64}$/
/** Data that the client sends without waiting: what follows is no command. */
const LITERAL = /\{\d+\+\}$/

const hello: Ask = askInLines('', (line) => /^\* OK\b/i.test(line) || `IMAP ${JSON.stringify(line)}`)

export const imap: PreambleFactory = (name) => ({
  greeting: bytesOf(`* OK [CAPABILITY ${CAPABILITIES}] ${name} ready\r\n`),
  farewell: bytesOf('* BYE Closing the connection\r\n'),
  hello,
  asks: [
    hello,
    askInLines('s STARTTLS\r\n', (line) => {
      if (/^s OK\b/i.test(line)) return true
      return /^\* (?!BYE\b)/i.test(line) ? false : `IMAP ${JSON.stringify(line)}`
    }),
  ],
  step: (input) =>
    stepOfLine(input, (line) => {
      const [tag = '', verb = ''] = line.split(/ +/, 2)
      if (!TAG.test(tag) || verb === '') return ['* BAD That is no command\r\n']
      if (LITERAL.test(line)) return [`${tag} BAD Use STARTTLS first\r\n`, 'refuse']
      switch (verb.toUpperCase()) {
        case 'CAPABILITY':
          return [`* CAPABILITY ${CAPABILITIES}\r\n${tag} OK Done\r\n`]
        case 'NOOP':
          return [`${tag} OK Done\r\n`]
        case 'LOGOUT':
          return [`* BYE Logging out\r\n${tag} OK Done\r\n`, 'close']
        case 'STARTTLS':
          return [`${tag} OK Begin TLS now\r\n`, 'tls']
        default:
          return [`${tag} NO [PRIVACYREQUIRED] Use STARTTLS first\r\n`]
      }
    }),
})
