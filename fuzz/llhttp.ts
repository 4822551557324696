/** What node's own parser (llhttp, strict) makes of a message: a third reader. */
import { createRequire } from 'node:module'

interface Parser {
  initialize(type: number, resource: object): void
  execute(bytes: Buffer): number | Error
  close(): void
  [callback: number]: ((...args: never[]) => unknown) | undefined
}

interface ParserClass {
  new (): Parser
  readonly REQUEST: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
}

const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as {
  HTTPParser: ParserClass
  methods: readonly string[]
}
const KNOWN = new Set(methods)

export interface Seen {
  /** Whole messages. */
  readonly count: number
  readonly body: string
  /** Why it stopped, or ''. */
  readonly problem: string
}

/** Does it know the method? The others it refuses. */
export const knows = (method: string): boolean => KNOWN.has(method)

export function readByNode(text: string): Seen {
  const parser = new HTTPParser()
  let count = 0
  let body = ''
  parser.initialize(HTTPParser.REQUEST, {})
  parser[HTTPParser.kOnHeadersComplete] = () => 0
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    body += bytes.toString('latin1')
  }
  parser[HTTPParser.kOnMessageComplete] = () => {
    count++
  }
  const result = parser.execute(Buffer.from(text, 'latin1'))
  parser.close() // what it holds is not the heap's
  return { count, body, problem: typeof result === 'number' ? '' : result.message }
}
