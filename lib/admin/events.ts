/** Server-sent events: each change of a backend's state and by an operator, to everyone who listens, as it happens. */
import type { ServerResponse } from 'node:http'
import type { OperationChange, StateChange } from '../service/index.ts'
import { stateEvent } from './backend-view.ts'
import { operationEvent } from './operations-view.ts'

const HEARTBEAT_MS = 15_000
const MAX_LISTENERS = 64 // an open connection and a queue each
const MAX_QUEUED = 256 * 1024 // bytes that a listener may be behind: some 1,000 events
const RETRY_MS = 2000

/** What there is to tell of; each call answers how to end that. */
export interface EventSource {
  onChange(listener: (change: StateChange) => void): () => void
  onOperation(listener: (change: OperationChange) => void): () => void
}

interface Listener {
  readonly response: ServerResponse
  /** Events that found no room since it fell behind. */
  lost: number
}

export class EventHub {
  readonly #listeners = new Set<Listener>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #unsubscribe: readonly (() => void)[]
  #id = 0

  constructor(source: EventSource) {
    this.#unsubscribe = [
      source.onChange((change) => this.#tell('state', () => stateEvent(change))),
      source.onOperation((change) => this.#tell('operations', () => operationEvent(change))),
    ]
    this.#heartbeat = setInterval(() => {
      for (const listener of this.#listeners) this.#write(listener, ': still here\n\n')
    }, HEARTBEAT_MS)
    this.#heartbeat.unref()
  }

  /** Answers with the stream of events. False: there are too many listeners, and nothing was answered. */
  listen(response: ServerResponse): boolean {
    if (this.#listeners.size >= MAX_LISTENERS) return false
    const listener: Listener = { response, lost: 0 }
    this.#listeners.add(listener)
    response.on('close', () => this.#listeners.delete(listener))
    response.on('drain', () => this.#confess(listener))
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write(`retry: ${RETRY_MS}\n\n`)
    return true
  }

  /** Ends every stream. */
  close(): void {
    clearInterval(this.#heartbeat)
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    for (const { response } of this.#listeners) response.end()
  }

  #tell(event: string, data: () => object): void {
    this.#id++
    if (this.#listeners.size === 0) return
    const text = `id: ${this.#id}\nevent: ${event}\ndata: ${JSON.stringify(data())}\n\n`
    for (const listener of this.#listeners) if (!this.#write(listener, text)) listener.lost++
  }

  /** False: it is too far behind. Once it is, it gets nothing until it has read all, so that the gap is one. */
  #write({ response, lost }: Listener, text: string): boolean {
    if (lost > 0 || response.writableLength + text.length > MAX_QUEUED) return false
    response.write(text)
    return true
  }

  /** Tells a listener that has caught up how much it missed. */
  #confess(listener: Listener): void {
    if (listener.lost === 0) return
    listener.response.write(`event: lost\ndata: ${JSON.stringify({ events: listener.lost })}\n\n`)
    listener.lost = 0
  }
}
