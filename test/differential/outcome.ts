/** What became of one request behind one engine: what its backend got, and what its client was told. */
import type { Backend, BackendRequest } from '../support/backend.ts'
import type { Field } from '../support/message.ts'
import type { RawClient, RawResponse } from '../support/raw.ts'
import type { Case } from './generators.ts'

export interface Arrived {
  readonly line: string
  readonly fields: readonly string[]
  readonly framing: string
  readonly body: string
  readonly trailers: readonly string[]
}

export interface Returned {
  readonly line: string
  readonly fields: readonly string[]
  readonly framing: string
  readonly body: string
  readonly trailers: readonly string[]
  readonly interim: readonly string[]
  /** The connection may carry another request. */
  readonly keeps: boolean
}

export interface Outcome {
  /** Whole requests that reached the backend. */
  readonly arrived: readonly Arrived[]
  /** Null: the connection was broken off before the answer was whole. */
  readonly returned: Returned | null
  /** What no balancer may send or do. */
  readonly faults: readonly string[]
}

/** The port that the client came to, and the id that its request got. */
const OURS = /^X-Forwarded-Port: \d{4,5}$|: [0-9a-f]{24}$/

/** A field, without what differs between two services by nature. */
function plain([name, value]: Field, backend: Backend): string {
  const text = `${name}: ${value}`
  if (text === `Host: ${backend.address}`) return 'Host: (the backend)'
  return OURS.test(text) ? `${name}: *` : text
}

const ofConnection = ([name]: Field): boolean => /^(?:connection|keep-alive)$/i.test(name)

function arrivedAs(request: BackendRequest, backend: Backend): Arrived {
  const { method, target, version, fields, framing, reader } = request
  return {
    line: `${method} ${target} ${version}`,
    fields: fields.filter((field) => !ofConnection(field)).map((field) => plain(field, backend)),
    framing,
    body: reader.bytes.toString('latin1'),
    trailers: reader.trailers.map((field) => plain(field, backend)),
  }
}

/** @param dated the backend sent a Date; else it is ours, and tells the second */
function returnedAs(response: RawResponse, dated: boolean, keeps: boolean): Returned {
  const shown = ([name, value]: Field): string => (!dated && name === 'Date' ? 'Date: *' : `${name}: ${value}`)
  const { startLine, fields, framing, body, trailers, interim } = response
  return {
    line: startLine.trimEnd(),
    fields: fields.filter((field) => !ofConnection(field)).map(shown),
    framing,
    body: body.toString('latin1'),
    trailers: trailers.map(shown),
    interim: interim.map((one) => `${one.startLine.trimEnd()}\n${one.fields.map(shown).join('\n')}`),
    keeps,
  }
}

/** Sends one request and waits for its answer, however it ends. */
export async function outcomeOf({ request, answer }: Case, client: RawClient, backend: Backend): Promise<Outcome> {
  const seen = backend.requests.length
  const { method, target, version, lines, body } = request
  const faults: string[] = []
  await client.sendSplit(`${method} ${target} ${version}\r\n${lines}\r\n${body}`, request.sizes)
  let returned: Returned | null = null
  try {
    const response = await client.readResponse({ method, deadline: 5000 })
    const closes =
      response.framing === 'close' || response.fields.some((field) => ofConnection(field) && /close/i.test(field[1]))
    const tunnel = response.status === 101
    const persistent = response.version === 'HTTP/1.1' && !closes && !tunnel
    if (tunnel) client.destroy()
    else if (!persistent) await client.untilClosed(5000)
    returned = returnedAs(response, /^date:/im.test(answer.text), persistent)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (!/^(?:closed|reset|body cut)/.test(message)) faults.push(message)
  }
  const arrived = backend.requests.slice(seen).map((one) => arrivedAs(one, backend))
  return { arrived, returned, faults: [...faults, ...backend.faults.splice(0)] }
}
