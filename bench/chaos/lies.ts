/** The ways in which a balancer could deceive. A liar does them in its place, to show that the harness finds each. */
import type { ServerResponse } from 'node:http'
import { contentOf } from './content.ts'

export interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** A request on its way through a liar. */
export interface Turn {
  readonly id: string
  /** Bytes that it asks for. */
  readonly size: number
  readonly body: Buffer
  readonly response: ServerResponse
  /** Asks the backend, with the body that came or with another one. */
  ask(body?: Buffer): Promise<Answer>
  /** Answers with a head that is true to this body. */
  answer(status: number, body: Buffer): void
}

/** A lie about requests. */
interface HttpLie {
  readonly of: 'GET' | 'POST' | 'any'
  tell(turn: Turn): Promise<void> | void
}

/** A lie about a piece of what a backend sends on a stream: what goes on in its place. null: nothing, and the connection ends. */
interface StreamLie {
  readonly of: 'tcp' | 'websocket'
  alter(bytes: Buffer): Buffer | null
}

const half = (body: Buffer): Buffer => body.subarray(0, body.length >> 1)

function flipped(bytes: Buffer, at: number): Buffer {
  const other = Buffer.from(bytes)
  other[at] = (bytes[at] ?? 0) ^ 1
  return other
}

/** Tells the client something made of the true answer. */
const changed = (change: (body: Buffer) => Buffer) => async (turn: Turn) => {
  const { status, body } = await turn.ask()
  turn.answer(status, change(body))
}

/** Two answers, each to the other's client. */
function swapping(): HttpLie['tell'] {
  let waiting: { readonly turn: Turn; readonly body: Buffer } | null = null
  return async (turn) => {
    const { status, body } = await turn.ask()
    const other = waiting
    waiting = other === null ? { turn, body } : null
    if (other === null) return
    turn.answer(status, other.body)
    other.turn.answer(status, body)
  }
}

/** Each gets what the one before should have got. */
function delaying(): HttpLie['tell'] {
  let before = Buffer.from('nothing')
  return changed((body) => {
    const late = before
    before = Buffer.from(body)
    return late
  })
}

export const HTTP_LIES = {
  'answers-swapped': { of: 'any', tell: swapping() },
  'answer-of-the-one-before': { of: 'any', tell: delaying() },
  'tail-dropped': { of: 'any', tell: changed(half) },
  'byte-altered': { of: 'any', tell: changed((body) => flipped(body, body.length >> 1)) },
  'answer-doubled': { of: 'any', tell: changed((body) => Buffer.concat([body, body])) },
  'answer-invented': { of: 'any', tell: (turn) => turn.answer(200, contentOf(turn.id, turn.size)) },
  'answer-broken-off': {
    of: 'any',
    tell: async (turn) => {
      const { body } = await turn.ask()
      turn.response.writeHead(200, { 'content-length': body.length })
      turn.response.write(half(body), () => turn.response.destroy())
    },
  },
  'answer-without-its-end': {
    of: 'any',
    tell: async (turn) => {
      const { body } = await turn.ask()
      turn.response.writeHead(200, { 'transfer-encoding': 'chunked' })
      turn.response.write(body)
    },
  },
  'post-sent-twice': {
    of: 'POST',
    tell: async (turn) => {
      await turn.ask()
      const { status, body } = await turn.ask()
      turn.answer(status, body)
    },
  },
  'get-sent-twice': {
    of: 'GET',
    tell: async (turn) => {
      await turn.ask()
      const { status, body } = await turn.ask()
      turn.answer(status, body)
    },
  },
  'request-cut': {
    of: 'POST',
    tell: async (turn) => {
      const { status, body } = await turn.ask(half(turn.body))
      turn.answer(status, body)
    },
  },
  'request-altered': {
    of: 'POST',
    tell: async (turn) => {
      const { status, body } = await turn.ask(flipped(turn.body, turn.body.length - 1))
      turn.answer(status, body)
    },
  },
  'refused-for-nothing': { of: 'any', tell: (turn) => turn.answer(503, Buffer.from('no')) },
  'failed-though-done': {
    of: 'POST',
    tell: async (turn) => {
      await turn.ask()
      turn.answer(502, Buffer.from('no'))
    },
  },
  swallowed: { of: 'any', tell: async (turn) => void (await turn.ask()) },
} satisfies Record<string, HttpLie>

export const STREAM_LIES = {
  'stream-altered': { of: 'tcp', alter: (bytes) => flipped(bytes, bytes.length - 1) },
  'stream-byte-lost': { of: 'tcp', alter: (bytes) => bytes.subarray(0, -1) },
  'stream-piece-doubled': { of: 'tcp', alter: (bytes) => Buffer.concat([bytes, bytes]) },
  'stream-ended': { of: 'tcp', alter: () => null },
  'message-altered': { of: 'websocket', alter: (bytes) => flipped(bytes, bytes.length - 1) },
  'socket-ended': { of: 'websocket', alter: () => null },
} satisfies Record<string, StreamLie>

export type LieName = keyof typeof HTTP_LIES | keyof typeof STREAM_LIES
export const LIE_NAMES = [...Object.keys(HTTP_LIES), ...Object.keys(STREAM_LIES)] as readonly LieName[]

export const httpLie = (name: LieName): HttpLie | undefined =>
  (HTTP_LIES as Readonly<Partial<Record<LieName, HttpLie>>>)[name]
export const streamLie = (name: LieName): StreamLie | undefined =>
  (STREAM_LIES as Readonly<Partial<Record<LieName, StreamLie>>>)[name]
