/** What the framing fields of a head say of its body, for requests and responses alike. Strict: HTTP.md lines 1–2. */
import { CLASS, equals, forEachElement, TOKEN } from './bytes.ts'
import { ID, isTwin } from './fields.ts'
import type { Head } from './head.ts'

const MAX_LENGTH_DIGITS = 16 // 2^53 has 16

/** Reads Content-Length, Transfer-Encoding and Connection of a head. */
export class Framing {
  /** -1: no Content-Length. */
  length = -1
  chunked = false
  /** Connection says close, keep-alive, upgrade. */
  close = false
  keepAlive = false
  upgrade = false
  /** Lower-case names of other fields that Connection nominates. */
  nominated: Set<string> | null = null
  /** HTTP status of the refusal, 0: none. */
  error = 0
  problem = ''

  read(head: Head, buf: Buffer, base: number): boolean {
    this.length = -1
    this.chunked = false
    this.close = false
    this.keepAlive = false
    this.upgrade = false
    this.nominated = null
    this.error = 0
    this.problem = ''
    let coded = false
    for (let i = 0; i < head.count; i++) {
      const id = head.id(i)
      if (id === 0) continue
      if (id === ID['content-length']) {
        if (isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i)))
          return this.#refuse(400, 'a field name imitates Content-Length')
        if (this.length >= 0) return this.#refuse(400, 'Content-Length is repeated')
        if (!this.#length(buf, base + head.valueStart(i), base + head.valueEnd(i)))
          return this.#refuse(400, 'Content-Length is not a number')
      } else if (id === ID['transfer-encoding']) {
        if (isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i)))
          return this.#refuse(400, 'a field name imitates Transfer-Encoding')
        if (coded) return this.#refuse(400, 'Transfer-Encoding is repeated')
        coded = true
        if (head.minor === 0) return this.#refuse(400, 'Transfer-Encoding on HTTP/1.0')
        if (!this.#coding(buf, base + head.valueStart(i), base + head.valueEnd(i))) return false
      } else if (id === ID.connection) this.#connection(buf, base + head.valueStart(i), base + head.valueEnd(i))
    }
    if (coded && this.length >= 0) return this.#refuse(400, 'Content-Length and Transfer-Encoding together')
    return true
  }

  /** Does the connection go on after this message, as far as its head says? */
  persistent(minor: number): boolean {
    return !this.close && (minor === 1 || this.keepAlive)
  }

  #refuse(status: number, problem: string): false {
    this.error = status
    this.problem = problem
    return false
  }

  #length(buf: Buffer, start: number, end: number): boolean {
    if (end === start || end - start > MAX_LENGTH_DIGITS) return false
    let length = 0
    for (let p = start; p < end; p++) {
      const digit = (buf[p] as number) - 48
      if (digit < 0 || digit > 9) return false
      length = length * 10 + digit
    }
    this.length = length
    return length <= Number.MAX_SAFE_INTEGER
  }

  #coding(buf: Buffer, start: number, end: number): boolean {
    if (equals(buf, start, end, 'chunked')) {
      this.chunked = true
      return true
    }
    let malformed = false
    let chunked = false
    forEachElement(buf, start, end, (from, to) => {
      if (from === to) malformed = true
      for (let p = from; p < to; p++) if (((CLASS[buf[p] as number] as number) & TOKEN) === 0) malformed = true
      if (chunked) malformed = true // chunked twice, or not last
      if (equals(buf, from, to, 'chunked')) chunked = true
    })
    return malformed
      ? this.#refuse(400, 'Transfer-Encoding is malformed')
      : this.#refuse(501, 'the transfer coding is unknown')
  }

  #connection(buf: Buffer, start: number, end: number): void {
    if (equals(buf, start, end, 'keep-alive')) this.keepAlive = true
    else if (equals(buf, start, end, 'close')) this.close = true
    else {
      forEachElement(buf, start, end, (from, to) => {
        if (from === to) return
        if (equals(buf, from, to, 'keep-alive')) this.keepAlive = true
        else if (equals(buf, from, to, 'close')) this.close = true
        else if (equals(buf, from, to, 'upgrade')) this.upgrade = true
        else {
          this.nominated ??= new Set()
          this.nominated.add(buf.latin1Slice(from, to).toLowerCase())
        }
      })
    }
  }
}
