/** Damage that keeps enough of an input's structure to get deep into a parser. */
import type { Random } from './random.ts'

const NUMBERS = [
  ...['0', '1', '9', '10', '15', '16', '255', '256', '257', '65535', '65536', '4294967295', '4294967296'],
  ...['9007199254740991', '9007199254740992', '18446744073709551616', '-1', '+1', '0x1', '1_0', '1e1', '01', '00'],
  ...['7fffffff', 'ffffffff', 'fffffffffffffff', '1fffffffffffff', '20000000000000', '0000000000000001', 'A', 'a'],
]
const BYTES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\x0b',
  '\x0c',
  '\x1f',
  '\x7f',
  '\x80',
  '\x85',
  '\xa0',
  '\xff',
  '_',
  '-',
]
const LENGTHS = [2, 16, 17, 31, 33, 64, 255, 257, 300, 1025, 2100, 8190, 8200] // about every limit there is

/** A place where something begins or ends: most faults lie at such. */
function edge(text: string, random: Random): number {
  const at = random.below(text.length + 1)
  if (random.oneIn(2)) return at
  for (let i = at; i < Math.min(text.length, at + 40); i++) if (/[\r\n :;,/.%=]/.test(text.charAt(i))) return i
  return at
}

function once(text: string, words: readonly string[], others: readonly string[], random: Random): string {
  const at = edge(text, random)
  const to = Math.min(text.length, at + 1 + random.below(random.oneIn(4) ? 40 : 3))
  switch (random.below(13)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1)
    case 1:
      return text.slice(0, at) + random.pick(BYTES) + text.slice(at + random.below(2))
    case 2:
    case 3:
      return text.slice(0, at) + random.pick(words) + text.slice(random.oneIn(2) ? at : to)
    case 4:
      return text.slice(0, at) + text.slice(to)
    case 5:
      return text.slice(0, to) + text.slice(at)
    case 6: {
      const other = random.pick(others)
      const from = edge(other, random)
      return text.slice(0, at) + other.slice(from, edge(other, random)) + text.slice(random.oneIn(2) ? at : to)
    }
    case 7: {
      const match = /\d+/.exec(text.slice(at))
      if (match === null) return text.slice(0, at) + random.pick(NUMBERS) + text.slice(at)
      const from = at + match.index
      return text.slice(0, from) + random.pick(NUMBERS) + text.slice(from + match[0].length)
    }
    case 8: {
      const lines = text.split('\r\n')
      const [i, k] = [random.below(lines.length), random.below(lines.length)]
      const line = lines[i] ?? ''
      if (random.oneIn(2)) lines.splice(k, 0, line)
      else lines.splice(k, 0, ...lines.splice(i, 1))
      return lines.join('\r\n')
    }
    case 9:
      return text.slice(0, at) + (text.charAt(at) || 'a').repeat(random.pick(LENGTHS)) + text.slice(at)
    case 10:
      return text.slice(0, at)
    case 11: {
      const char = text.charAt(at)
      const upper = char.toUpperCase()
      return text.slice(0, at) + (upper === char ? char.toLowerCase() : upper) + text.slice(at + 1)
    }
    default:
      return (
        text.slice(0, at) +
        String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random.below(8))) +
        text.slice(at + 1)
      )
  }
}

const MOST = 20_000 // bytes: past every limit, and still quick

/** `text` with some damage; `others` are inputs to take pieces of. All of them bytes as latin-1. */
export function mutate(text: string, words: readonly string[], others: readonly string[], random: Random): string {
  let out = text
  const times = 1 + random.below(random.oneIn(4) ? 8 : 3)
  for (let i = 0; i < times; i++) out = once(out, words, others, random)
  return out.length > MOST ? out.slice(0, MOST) : out
}
