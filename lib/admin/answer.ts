/** Answers of the admin listener: JSON, text, and long texts in pieces that let others run between them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as others } from 'node:timers/promises'
import { createGzip } from 'node:zlib'

const GZIP_LEVEL = 1 // a tenth of the size for a fifth of the time of the default

export function answerJson(response: ServerResponse, status: number, value: unknown): void {
  answerText(response, status, `${JSON.stringify(value)}\n`, 'application/json')
}

export function answerError(response: ServerResponse, status: number, error: string, message: string): void {
  answerJson(response, status, { error, message })
}

export function answerText(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

/** Resolves when all is sent or the client has gone. Nothing is rendered that can't be sent yet. */
export async function answerPieces(
  request: IncomingMessage,
  response: ServerResponse,
  type: string,
  pieces: AsyncIterable<string> | Iterable<string>,
): Promise<void> {
  const zipped = /\bgzip\b(?! *; *q=0(?:\.0*)?(?:,|$))/.test(request.headers['accept-encoding'] ?? '')
  response.setHeader('Content-Type', type)
  if (request.method === 'HEAD') return void response.end()
  const text = Readable.from(inTurns(pieces), { objectMode: false })
  if (!zipped) return pipeline(text, response)
  response.setHeader('Content-Encoding', 'gzip')
  return pipeline(text, createGzip({ level: GZIP_LEVEL }), response)
}

async function* inTurns(pieces: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  for await (const piece of pieces) {
    yield piece
    await others()
  }
}

/** A JSON list that is rendered element by element. */
export function* jsonList(values: Iterable<unknown>): Generator<string> {
  let before = '['
  for (const value of values) {
    yield before + JSON.stringify(value)
    before = ',\n'
  }
  yield before === '[' ? '[]\n' : ']\n'
}
