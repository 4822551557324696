/** Which content coding a client gets, by its Accept-Encoding (RFC 9110 §12.5.3): pure. */

import { trimmed } from '../trimmed.ts'

/** In the words of Content-Encoding. */
export type Encoding = 'zstd' | 'br' | 'gzip'

const ELEMENT = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(.*)$/
const WEIGHT = /^[ \t]*;[ \t]*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/**
 * The coding that the client likes best of those offered; between equals the first one. Null: as it is. A field that is
 * missing would allow all codings, but clients that send none do not expect any.
 */
export function chooseEncoding(accept: string, offered: readonly Encoding[]): Encoding | null {
  const weights = weightsOf(accept)
  const others = weights.get('*') ?? 0
  let best: Encoding | null = null
  let most = 0
  for (const encoding of offered) {
    const weight = weights.get(encoding) ?? others
    if (weight > most) {
      best = encoding
      most = weight
    }
  }
  return (weights.get('identity') ?? others) > most ? null : best
}

/** Weights by name. What is malformed is not wanted, and of two weights the lower one counts. */
function weightsOf(accept: string): Map<string, number> {
  const weights = new Map<string, number>()
  for (const element of accept.split(',')) {
    const [, name = '', rest = ''] = ELEMENT.exec(trimmed(element)) ?? []
    if (name === '') continue
    const weight = rest === '' ? 1 : Number(WEIGHT.exec(rest)?.[1] ?? 0)
    const key = name.toLowerCase() === 'x-gzip' ? 'gzip' : name.toLowerCase() // RFC 9110 §8.4.1.3
    weights.set(key, Math.min(weight, weights.get(key) ?? 1))
  }
  return weights
}
