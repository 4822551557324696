/** SMTP (RFC 3207): EHLO offers STARTTLS, and whatever would move mail is refused before it. */
import type { Ask, PreambleFactory } from './contract.ts'
import { askInLines, bytesOf, stepOfLine } from './lines.ts'

/** A reply of one or several lines with this code. */
const ask = (say: string, code: string, needs?: RegExp): Ask => ({
  say: bytesOf(say),
  hear: (input) => {
    let met = needs === undefined
    return askInLines('', (line) => {
      if (!line.startsWith(code)) return `SMTP ${JSON.stringify(line)}`
      met ||= needs?.test(line) === true
      if (line.charAt(3) === '-') return false
      return met || 'does not offer STARTTLS'
    }).hear(input)
  },
})

export const smtp: PreambleFactory = (name) => ({
  greeting: bytesOf(`220 ${name} ESMTP\r\n`),
  farewell: bytesOf('421 4.7.0 Closing the connection\r\n'),
  hello: ask('', '220'),
  asks: [ask('', '220'), ask(`EHLO ${name}\r\n`, '250', /^250[ -]STARTTLS$/i), ask('STARTTLS\r\n', '220')],
  step: (input) =>
    stepOfLine(input, (line) => {
      const space = line.indexOf(' ')
      const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase()
      switch (verb) {
        case 'EHLO':
        case 'HELO':
          if (space < 0) return ['501 5.5.4 Say your name\r\n']
          return [verb === 'HELO' ? `250 ${name}\r\n` : `250-${name}\r\n250 STARTTLS\r\n`]
        case 'STARTTLS':
          if (space >= 0) return ['501 5.5.4 STARTTLS has no parameters\r\n']
          return ['220 2.0.0 Ready to start TLS\r\n', 'tls']
        case 'NOOP':
        case 'RSET':
          return ['250 2.0.0 OK\r\n']
        case 'QUIT':
          return ['221 2.0.0 Bye\r\n', 'close']
        default:
          return ['530 5.7.0 Must issue a STARTTLS command first\r\n']
      }
    }),
})
