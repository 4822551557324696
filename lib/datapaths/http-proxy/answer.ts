/** node:http's answer to a client, with the try that it comes from. */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Attempt } from './attempt.ts'
import { forwardedTrailers, lengthBehindDisposition } from './forward.ts'

/** Who hears how the body of an answer went. */
export interface RelayOwner {
  /** A piece is on its way. */
  onRelayed(): void
  /** It ended before it was whole, or its end is wrong. */
  onTruncated(): void
}

export class Answer extends ServerResponse {
  attempt: Attempt | null = null

  /** A head with these fields and none that node:http would add. */
  head(status: number, phrase: string, raw: readonly string[]): void {
    this.sendDate = false
    for (const name of ['Connection', 'Transfer-Encoding', 'Content-Length']) this.removeHeader(name)
    this.writeHead(status, phrase, [...lengthBehindDisposition(raw)])
  }

  /** One of our own answers, given as text. */
  own(status: number, text: string): void {
    const end = text.indexOf('\r\n\r\n')
    const [line = '', ...lines] = text.slice(0, end).split('\r\n')
    const raw = lines.flatMap((field) => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 2)])
    this.head(status, line.split(' ').slice(2).join(' '), raw)
    this.end(text.slice(end + 4), 'latin1')
  }

  /** The body of `answer` behind the head, at the pace of the client. */
  relay(answer: IncomingMessage, trailers: boolean, owner: RelayOwner): void {
    answer.on('data', (chunk: Buffer) => {
      owner.onRelayed()
      if (!this.destroyed && !this.write(chunk)) answer.pause()
    })
    this.on('drain', () => answer.resume())
    answer.on('close', () => {
      if (!answer.readableEnded) owner.onTruncated()
    })
    answer.on('end', () => {
      const kept = forwardedTrailers(answer)
      if (!answer.complete || kept === null) return owner.onTruncated()
      if (trailers) this.addTrailers(kept)
      this.end()
    })
    this.write('', 'latin1') // the head, at once: flushHeaders would write it as UTF-8
  }
}
