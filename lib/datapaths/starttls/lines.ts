/** What the protocols with lines have in common. */
import type { Ask, Step } from './contract.ts'

const LF = 10

/** The first line without its end, and the bytes that it took; null: it is not whole. */
export function lineIn(input: Buffer, from = 0): { readonly text: string; readonly end: number } | null {
  const at = input.indexOf(LF, from)
  if (at < 0) return null
  return { text: input.toString('latin1', from, at).replace(/\r$/, ''), end: at + 1 }
}

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
export const NOTHING = bytesOf('')

/** A command of one line; `answer` gets it without the white space around it. */
export function stepOfLine(input: Buffer, answer: (line: string) => [reply: string, next?: Step['next']]): Step | null {
  const line = lineIn(input)
  if (line === null) return null
  const [reply, next = 'go on'] = answer(line.text.trim())
  return { used: line.end, reply: bytesOf(reply), next }
}

/**
 * An exchange whose answer is lines.
 * @param judge of each: true when it is the last and well, false when another one follows, or what is wrong
 */
export const askInLines = (say: string, judge: (line: string) => boolean | string): Ask => ({
  say: bytesOf(say),
  hear: (input) => {
    let at = 0
    for (let line = lineIn(input); line !== null; line = lineIn(input, at)) {
      at = line.end
      const verdict = judge(line.text)
      if (typeof verdict === 'string') return verdict
      if (verdict) return at
    }
    return null
  },
})
