/**
 * Makes an HTTP/1.1 head of an answer's fields, which the strict parser of HTTP/1.1 then reads: nothing is checked in two ways.
 * What only HTTP/2 forbids is found here (RFC 9113 §8.2, §8.3).
 */
import { STATUS_CODES } from '../../core/index.ts'
import { acceptOf } from '../h2/answer-sender.ts'
import { fieldBlock as block, headsStart, memory } from '../h2/field-block.ts'
import { isField } from '../h2/request-writer.ts'
import { fieldId, ID, isTwin } from '../http/fields.ts'

const EXTRA_BYTES = 512 // more than all that is added to the lines of a block
const STATUS = Buffer.from(':status')
const NO_CONTENT = Buffer.from('content-length: 0\r\n')
const CHUNKED = Buffer.from('transfer-encoding: chunked\r\n')
const FORBIDDEN = new Set([
  ID.connection,
  ID['keep-alive'],
  ID['proxy-connection'],
  ID['transfer-encoding'],
  ID.upgrade,
])

const statusLines: (Buffer | undefined)[] = []
function statusLine(status: number): Buffer {
  statusLines[status] ??= Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`)
  return statusLines[status]
}

export class ResponseWriter {
  /** The head is here, from 0 up to `end`. */
  readonly bytes = Buffer.allocUnsafeSlow(headsStart + EXTRA_BYTES)
  end = 0
  status = 0
  /** Content that it announces; -1: it does not say. */
  length = -1

  /**
   * Writes the head that is in the block.
   * @param ended nothing follows it
   * @param headOnly nothing would follow it whatever it says
   * @param upgrade the protocol that a tunnel was asked for, or ''
   * @param key of its handshake
   * @returns false: malformed
   */
  write(ended: boolean, headOnly: boolean, upgrade: string, key: string): boolean {
    if (block.tooLarge || !this.#readStatus()) return false
    if (!this.#look()) return false
    const { status, bytes } = this
    const bodiless = headOnly || status < 200 || status === 204 || status === 304
    if (status === 101 || (status < 200 && ended)) return false // RFC 9113 §8.6, §8.1
    const tunnel = upgrade !== '' && status >= 200 && status < 300
    let p = put(bytes, tunnel ? statusLine(101) : statusLine(status), 0)
    p += memory.copy(bytes, p, block.lineEnd(0), block.at)
    if (tunnel) p += bytes.latin1Write(switching(upgrade, key), p)
    else if (!bodiless && this.length < 0) p = put(bytes, ended ? NO_CONTENT : CHUNKED, p)
    bytes[p++] = 13
    bytes[p++] = 10
    this.end = p
    return true
  }

  /** The one pseudo-field of an answer, three digits, first of all. */
  #readStatus(): boolean {
    if (block.count === 0) return false
    const start = block.nameStart(0)
    const value = block.valueStart(0)
    if (memory.compare(STATUS, 0, STATUS.length, start, block.nameEnd(0)) !== 0 || block.valueEnd(0) - value !== 3)
      return false
    const text = memory.latin1Slice(value, value + 3)
    this.status = Number(text)
    return /^[1-9]\d\d$/.test(text)
  }

  #look(): boolean {
    this.length = -1
    for (let i = 1; i < block.count; i++) {
      const start = block.nameStart(i)
      const end = block.nameEnd(i)
      if (!isField(block, i)) return false
      const id = fieldId(memory, start, end)
      if (id === 0 || isTwin(memory, start, end)) continue
      if (FORBIDDEN.has(id)) return false
      if (id === ID['content-length']) this.length = Number(memory.latin1Slice(block.valueStart(i), block.valueEnd(i)))
    }
    return true
  }
}

/** What an HTTP/1.1 client hears of a tunnel that is open. */
const switching = (upgrade: string, key: string): string =>
  `connection: Upgrade\r\nupgrade: ${upgrade}\r\n${key === '' ? '' : `sec-websocket-accept: ${acceptOf(key)}\r\n`}`

function put(bytes: Buffer, from: Buffer, at: number): number {
  bytes.set(from, at)
  return at + from.length
}

/** For the head in hand: it is used up before anything else happens. */
export const responseWriter = new ResponseWriter()
