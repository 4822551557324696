/** Asks for a secret on the terminal, and shows none of it. */

const ENTER = /[\r\n]/
const ERASE = new Set(['\x7f', '\b'])
const GIVE_UP = new Set(['\x03', '\x04']) // Ctrl-C, Ctrl-D

/** null: there is no terminal to ask at, or the user gave up. */
export async function askSecret(question: string): Promise<string | null> {
  const { stdin, stderr } = process
  if (!stdin.isTTY) return null
  stdin.setRawMode(true) // first: what is typed from the question on is not shown
  stderr.write(question)
  stdin.setEncoding('utf8')
  let secret = ''
  try {
    for await (const text of stdin as AsyncIterable<string>)
      for (const char of text) {
        if (GIVE_UP.has(char)) return null
        if (ENTER.test(char)) return secret
        secret = ERASE.has(char) ? [...secret].slice(0, -1).join('') : secret + char
      }
    return null
  } finally {
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}
