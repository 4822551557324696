/** What we say on one connection: frames of all streams, their header tables, and the window that they share. */
import type { ServiceCell } from '../../board/index.ts'
import type { Wire } from '../wire.ts'
import { memory } from './field-block.ts'
import type { FrameBudget } from './frame-budget.ts'
import {
  ACK,
  continuations,
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  HEADER_BYTES,
  HEADERS,
  MAX_FRAME,
  PING,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  writeHeader,
  writeUint32,
} from './frames.ts'
import { encodedAtMost, HpackEncoder } from './hpack-encoder.ts'
import { Output } from './output.ts'
import { FIRST_WINDOW, MAX_WINDOW } from './peer.ts'
import { Resets } from './resets.ts'

/** Who waits for room. */
export interface Sender {
  waiting: boolean
  pump(): void
}

export class Outbound {
  readonly resets = new Resets()
  readonly #cell: ServiceCell | null
  readonly #budget: FrameBudget
  readonly #output: Output
  protected readonly encoder = new HpackEncoder()
  /** What the peer takes of content in all. */
  #window = FIRST_WINDOW
  #waiting: Sender[] = []
  #blockOut: Buffer = memory

  /** @param cell where the resets that we send are counted; null: nowhere */
  constructor(cell: ServiceCell | null, wire: Wire, budget: FrameBudget) {
    this.#cell = cell
    this.#budget = budget
    this.#output = new Output(wire)
  }

  get queued(): number {
    return this.#output.queued
  }
  /** The peer reads too slowly: it is not listened to either. */
  get overfull(): boolean {
    return this.#output.overfull
  }

  /** The wire has taken what was written. */
  drained(): void {
    this.#output.drained()
    this.pump()
  }

  /** Says the last of it; nothing follows. */
  finish(): void {
    this.#output.finish()
  }
  /** Says no more. */
  close(): void {
    this.#output.close()
  }

  /** The peer takes so much more in all; false: more than there may be. */
  widen(increment: number): boolean {
    this.#window += increment
    if (this.#window > MAX_WINDOW) return false
    this.pump()
    return true
  }

  /** The peer's SETTINGS allow the header table so many bytes: said to be understood. */
  acknowledge(headerTable: number): void {
    this.encoder.allow(headerTable)
    const out = this.#output.reserve(HEADER_BYTES)
    this.#output.at = writeHeader(out, this.#output.at, 0, SETTINGS, ACK, 0)
  }

  /** Bytes of content that one frame may have now. */
  room(): number {
    if (this.#window <= 0) return 0
    return Math.min(MAX_FRAME, this.#window, this.#output.room())
  }

  /** It is asked again when there is room: one after the other. */
  wait(sender: Sender): void {
    if (sender.waiting) return
    sender.waiting = true
    this.#waiting.push(sender)
  }

  pump(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const sender of waiting) {
      sender.waiting = false
      sender.pump()
    }
  }

  /** One frame; answers how much content it has. */
  data(id: number, buf: Buffer, start: number, end: number, last: boolean): number {
    const length = end - start
    const out = this.#output.reserve(HEADER_BYTES + length)
    const at = writeHeader(out, this.#output.at, length, DATA, last ? END_STREAM : 0, id)
    buf.copy(out, at, start, end)
    this.#output.at = at + length
    this.#window -= length
    this.#budget.moved(length)
    return length
  }

  /** Trailer lines end the stream. */
  trailers(id: number, lines: string, unindexed: ReadonlySet<string> | null): void {
    if (lines === '') {
      this.data(id, memory, 0, 0, true)
      return
    }
    const bytes = Buffer.from(lines, 'latin1')
    const rows = lines.split('\r\n')
    this.beginBlock(encodedAtMost(bytes.length, rows.length), unindexed)
    let start = 0
    for (const row of rows) {
      const colon = row.indexOf(':')
      if (colon > 0) {
        let value = colon + 1
        while (row[value] === ' ' || row[value] === '\t') value++
        this.encoder.field(bytes, start, start + colon, start + value, start + row.trimEnd().length)
      }
      start += row.length + 2
    }
    this.endBlock(id, true)
  }

  /** A header block begins, of `most` bytes at most: what is encoded up to `endBlock` belongs to it. */
  protected beginBlock(most: number, unindexed: ReadonlySet<string> | null): void {
    this.#blockOut = this.#output.reserve(HEADER_BYTES * (2 + most / MAX_FRAME) + most)
    this.encoder.begin(this.#blockOut, this.#output.at + HEADER_BYTES, unindexed)
  }

  /** Frames the block, in front of which there is room for a header. */
  protected endBlock(id: number, last: boolean): void {
    const out = this.#blockOut
    const at = this.#output.at + HEADER_BYTES
    const end = this.encoder.at
    const flags = last ? END_STREAM : 0
    const first = Math.min(MAX_FRAME, end - at)
    const whole = first === end - at
    writeHeader(out, at - HEADER_BYTES, first, HEADERS, flags | (whole ? END_HEADERS : 0), id)
    this.#output.at = whole ? end : continuations(out, at + first, end, id)
  }

  reset(id: number, code: number): void {
    const out = this.#output.reserve(HEADER_BYTES + 4)
    this.#output.at = writeUint32(out, writeHeader(out, this.#output.at, 4, RST_STREAM, 0, id), code)
    this.resets.add(id)
    this.#cell?.http2Reset('us')
  }

  windowUpdate(id: number, increment: number): void {
    const out = this.#output.reserve(HEADER_BYTES + 4)
    this.#output.at = writeUint32(out, writeHeader(out, this.#output.at, 4, WINDOW_UPDATE, 0, id), increment)
  }

  ping(buf: Buffer, start: number, flags: number): void {
    const out = this.#output.reserve(HEADER_BYTES + 8)
    const at = writeHeader(out, this.#output.at, 8, PING, flags, 0)
    for (let i = 0; i < 8; i++) out[at + i] = buf[start + i] as number // a copy makes a view first, and a flood of pings as many
    this.#output.at = at + 8
  }

  /** Bytes that are no frame. */
  protected literal(bytes: Uint8Array): void {
    this.#output.reserve(bytes.length).set(bytes, this.#output.at)
    this.#output.at += bytes.length
  }

  settings(rows: readonly (readonly [id: number, value: number])[]): void {
    const out = this.#output.reserve(HEADER_BYTES + 6 * rows.length)
    let at = writeHeader(out, this.#output.at, 6 * rows.length, SETTINGS, 0, 0)
    for (const [id, value] of rows) {
      out[at] = 0
      out[at + 1] = id
      at = writeUint32(out, at + 2, value)
    }
    this.#output.at = at
  }

  goaway(last: number, code: number, problem: string): void {
    const out = this.#output.reserve(HEADER_BYTES + 8 + problem.length)
    let at = writeHeader(out, this.#output.at, 8 + problem.length, GOAWAY, 0, 0)
    at = writeUint32(out, writeUint32(out, at, last), code)
    this.#output.at = at + out.latin1Write(problem, at)
  }
}
