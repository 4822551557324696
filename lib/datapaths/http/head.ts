/**
 * The incremental parser of HTTP/1.1 heads (RFC 9112 §2–§5), for requests and responses: pure, strict, resumable at any
 * byte. Offsets only, no object per field; the meaning of fields is request.ts' and response.ts' business.
 */
import { CLASS, COLON, CR, HTAB, LF, SP, TARGET, TOKEN, VALUE } from './bytes.ts'
import { fieldId } from './fields.ts'

export interface HeadLimits {
  readonly maxTarget: number
  readonly maxHead: number
  readonly maxFields: number
}

/** What a step of the parser answers: more bytes are needed, the head is whole, or it is refused (see `error`). */
export const MORE = 0
export const DONE = 1
export const BAD = 2
export type ParseResult = typeof MORE | typeof DONE | typeof BAD

const MAX_NAME = 256
const MAX_VALUE = 8 * 1024
const MAX_METHOD = 32
const MAX_REASON = 1024
const FIELD_INTS = 5 // id, name start and end, value start and end

// States, in the order in which a head goes through them.
const START = 0
const START_LF = 1
const METHOD = 2
const TARGET_PART = 3
const VERSION = 4
const REQUEST_LINE_LF = 5
const STATUS_VERSION = 6
const STATUS_CODE = 7
const REASON = 8
const STATUS_LINE_LF = 9
const FIELD_START = 10
const NAME = 11
const OWS = 12
const FIELD_VALUE = 13
const FIELD_LF = 14
const END_LF = 15
const COMPLETE = 16
const FAILED = 17

const HTTP_1 = [72, 84, 84, 80, 47] // "HTTP/"

let viewed: Buffer = Buffer.alloc(0)
let view: DataView = new DataView(viewed.buffer)
/** Nearly all heads lie in the one buffer that a thread reads into. */
function viewOf(buf: Buffer): DataView {
  if (buf !== viewed) {
    viewed = buf
    view = new DataView(buf.buffer, buf.byteOffset, buf.length)
  }
  return view
}

/** Which of four bytes are controls, below SP or DEL, in their highest bits; further bits mean nothing where there is one. */
function controls(four: number): number {
  const del = four ^ 0x7f7f7f7f
  return (((four - 0x20202020) & ~four) | ((del - 0x01010101) & ~del)) & 0x80808080
}

export class Head {
  /** Bytes looked at so far, from the base. After DONE: the length of the head. */
  pos = 0
  /** HTTP status of the refusal, and what was wrong. */
  error = 0
  problem = ''
  /** Its first line names another protocol than HTTP. */
  foreign = false
  /** Minor version of HTTP/1.x. */
  minor = 1
  methodStart = 0
  methodEnd = 0
  targetStart = 0
  targetEnd = 0
  status = 0
  statusStart = 0
  reasonStart = 0
  reasonEnd = 0
  /** Start of the first field line, and of the empty line behind the last. */
  fieldsStart = 0
  fieldsEnd = 0
  count = 0
  #fields = new Int32Array(FIELD_INTS * 24)
  #state = START
  #major = 1
  #mark = 0
  #skipped = false

  reset(): void {
    this.pos = 0
    this.error = 0
    this.problem = ''
    this.foreign = false
    this.minor = 1
    this.methodStart = 0
    this.methodEnd = 0
    this.targetStart = 0
    this.targetEnd = 0
    this.count = 0
    this.#state = START
    this.#skipped = false
  }

  id(field: number): number {
    return this.#fields[field * FIELD_INTS] as number
  }
  nameStart(field: number): number {
    return this.#fields[field * FIELD_INTS + 1] as number
  }
  nameEnd(field: number): number {
    return this.#fields[field * FIELD_INTS + 2] as number
  }
  valueStart(field: number): number {
    return this.#fields[field * FIELD_INTS + 3] as number
  }
  valueEnd(field: number): number {
    return this.#fields[field * FIELD_INTS + 4] as number
  }

  #refuse(status: number, problem: string): ParseResult {
    this.error = status
    this.problem = problem
    this.#state = FAILED
    return BAD
  }

  /** Parses on in `buf[base + pos .. end)`. A request: `response` false. The same bytes in any pieces give the same result. */
  parse(buf: Buffer, base: number, end: number, limits: HeadLimits, response: boolean): ParseResult {
    let p = base + this.pos
    for (;;) {
      switch (this.#state) {
        case START:
          if (p === end) return this.#pause(p - base)
          if (response) {
            this.#state = STATUS_VERSION
            this.#mark = p - base
            break
          }
          if (buf[p] === CR && !this.#skipped) {
            // RFC 9112 §2.2: one empty line before a request line may be skipped.
            p++
            this.#state = START_LF
            break
          }
          this.methodStart = p - base
          this.#state = METHOD
          break

        case START_LF:
          if (p === end) return this.#pause(p - base)
          if (buf[p++] !== LF) return this.#refuse(400, 'a bare CR')
          this.#skipped = true
          this.#state = START
          break

        case METHOD: {
          while (p < end && ((CLASS[buf[p] as number] as number) & TOKEN) !== 0) p++
          const length = p - base - this.methodStart
          if (length > MAX_METHOD) return this.#refuse(400, 'the method is too long')
          if (p === end) return this.#pause(p - base)
          if (buf[p] !== SP || length === 0) return this.#refuse(400, 'the method is not a token')
          this.methodEnd = p - base
          p++
          this.targetStart = p - base
          this.#state = TARGET_PART
          break
        }

        case TARGET_PART: {
          while (p < end && ((CLASS[buf[p] as number] as number) & TARGET) !== 0) p++
          const length = p - base - this.targetStart
          if (length > limits.maxTarget) return this.#refuse(414, 'the target is too long')
          if (p === end) return this.#pause(p - base)
          if (buf[p] !== SP || length === 0) return this.#refuse(400, 'the request line is malformed')
          this.targetEnd = p - base
          p++
          this.#mark = p - base
          this.#state = VERSION
          break
        }

        case VERSION:
        case STATUS_VERSION: {
          // "HTTP/" digit "." digit
          let i = p - base - this.#mark
          while (i < 8) {
            if (p === end) return this.#pause(p - base)
            const byte = buf[p] as number
            const right = i < 5 ? byte === HTTP_1[i] : i === 6 ? byte === 46 : byte >= 48 && byte <= 57
            if (!right) {
              this.foreign = i < 5
              return this.#refuse(400, 'the version is malformed')
            }
            if (i === 5) this.#major = byte - 48
            if (i === 7) this.minor = byte - 48
            p++
            i++
          }
          if (p === end) return this.#pause(p - base)
          if (buf[p] !== (response ? SP : CR)) return this.#refuse(400, 'the version is malformed')
          p++
          if (this.#major > 1) return this.#refuse(505, 'this is not HTTP/1')
          if (this.#major === 0 || this.minor > 1) return this.#refuse(400, 'the version is not HTTP/1.0 or HTTP/1.1')
          this.#mark = p - base
          this.statusStart = p - base
          this.status = 0
          this.#state = response ? STATUS_CODE : REQUEST_LINE_LF
          break
        }

        case STATUS_CODE: {
          let i = p - base - this.#mark
          while (i < 3) {
            if (p === end) return this.#pause(p - base)
            const digit = (buf[p] as number) - 48
            if (digit < 0 || digit > 9) return this.#refuse(400, 'the status is not three digits')
            this.status = this.status * 10 + digit
            p++
            i++
          }
          if (p === end) return this.#pause(p - base)
          if (this.status < 100 || this.status > 599) return this.#refuse(400, 'the status is out of range')
          // The reason phrase may be missing together with its space: many servers leave both out.
          if (buf[p] === SP) p++
          else if (buf[p] !== CR) return this.#refuse(400, 'the status is not three digits')
          this.reasonStart = p - base
          this.#state = REASON
          break
        }

        case REASON:
          while (p < end && ((CLASS[buf[p] as number] as number) & VALUE) !== 0) p++
          if (p - base - this.reasonStart > MAX_REASON) return this.#refuse(400, 'the reason phrase is too long')
          if (p === end) return this.#pause(p - base)
          if (buf[p] !== CR) return this.#refuse(400, 'the status line has a control character')
          this.reasonEnd = p - base
          p++
          this.#state = STATUS_LINE_LF
          break

        case REQUEST_LINE_LF:
        case STATUS_LINE_LF:
          if (p === end) return this.#pause(p - base)
          if (buf[p++] !== LF) return this.#refuse(400, 'a bare CR')
          this.fieldsStart = p - base
          this.#state = FIELD_START
          break

        case FIELD_START: {
          p = this.#wholeLines(buf, base, p, end, limits)
          if (p === end) return this.#pause(p - base)
          if (buf[p] === CR) {
            this.fieldsEnd = p - base
            p++
            this.#state = END_LF
            break
          }
          if (this.count === limits.maxFields) return this.#refuse(431, 'too many fields')
          const at = this.count * FIELD_INTS
          if (at === this.#fields.length) {
            const grown = new Int32Array(at * 2)
            grown.set(this.#fields)
            this.#fields = grown
          }
          this.#fields[at + 1] = p - base
          this.#state = NAME
          break
        }

        case NAME: {
          while (p < end && ((CLASS[buf[p] as number] as number) & TOKEN) !== 0) p++
          const at = this.count * FIELD_INTS
          const start = this.#fields[at + 1] as number
          if (p - base - start > MAX_NAME) return this.#refuse(431, 'a field name is too long')
          if (p - base - this.fieldsStart > limits.maxHead) return this.#refuse(431, 'the fields are too large')
          if (p === end) return this.#pause(p - base)
          // Also refuses folded lines and leading space: they would start with a byte that no name has.
          if (buf[p] !== COLON || p - base === start) return this.#refuse(400, 'a field name is malformed')
          this.#fields[at] = fieldId(buf, base + start, p)
          this.#fields[at + 2] = p - base
          p++
          this.#state = OWS
          break
        }

        case OWS:
          while (p < end && (buf[p] === SP || buf[p] === HTAB)) p++
          if (p - base - (this.#fields[this.count * FIELD_INTS + 2] as number) > MAX_VALUE)
            return this.#refuse(431, 'a field is too long')
          if (p === end) return this.#pause(p - base)
          this.#fields[this.count * FIELD_INTS + 3] = p - base
          this.#state = FIELD_VALUE
          break

        case FIELD_VALUE: {
          while (p < end && ((CLASS[buf[p] as number] as number) & VALUE) !== 0) p++
          const at = this.count * FIELD_INTS
          const start = this.#fields[at + 3] as number
          if (p - base - start > MAX_VALUE) return this.#refuse(431, 'a field is too long')
          if (p - base - this.fieldsStart > limits.maxHead) return this.#refuse(431, 'the fields are too large')
          if (p === end) return this.#pause(p - base)
          if (buf[p] !== CR) return this.#refuse(400, 'a field value has a control character')
          let stop = p
          while (stop - base > start && (buf[stop - 1] === SP || buf[stop - 1] === HTAB)) stop--
          this.#fields[at + 4] = stop - base
          p++
          this.#state = FIELD_LF
          break
        }

        case FIELD_LF:
          if (p === end) return this.#pause(p - base)
          if (buf[p++] !== LF) return this.#refuse(400, 'a bare CR')
          this.count++
          this.#state = FIELD_START
          break

        case END_LF:
          if (p === end) return this.#pause(p - base)
          if (buf[p++] !== LF) return this.#refuse(400, 'a bare CR')
          this.pos = p - base
          this.#state = COMPLETE
          return DONE

        case COMPLETE:
          return DONE

        default:
          return BAD
      }
    }
  }

  /**
   * Takes the field lines from `p` on that are whole and well-formed, and answers where the first other one begins: that
   * one is read by the states, with their refusals. Half the time that the states take (docs/performance.md).
   */
  #wholeLines(buf: Buffer, base: number, from: number, end: number, { maxFields, maxHead }: HeadLimits): number {
    const view = viewOf(buf)
    let line = from
    let { count } = this
    const most = Math.min(maxFields, this.#fields.length / FIELD_INTS)
    const fields = this.#fields
    const beyond = Math.min(end, base + this.fieldsStart + maxHead)
    while (count < most) {
      let p = line
      while (p < beyond && ((CLASS[buf[p] as number] as number) & TOKEN) !== 0) p++
      const nameEnd = p
      if (p >= beyond || buf[p] !== COLON || p === line || p - line > MAX_NAME) break
      p++
      while (p < beyond && (buf[p] === SP || buf[p] === HTAB)) p++
      const start = p
      if (p - nameEnd > MAX_VALUE) break
      // Eight bytes at a time, as long as none of them is a control character.
      const words = beyond - 8
      while (p <= words && (controls(view.getInt32(p, true)) | controls(view.getInt32(p + 4, true))) === 0) p += 8
      while (p < beyond && ((CLASS[buf[p] as number] as number) & VALUE) !== 0) p++
      if (p + 1 >= beyond || buf[p] !== CR || buf[p + 1] !== LF || p - start > MAX_VALUE) break
      let stop = p
      while (stop > start && (buf[stop - 1] === SP || buf[stop - 1] === HTAB)) stop--
      const at = count * FIELD_INTS
      fields[at] = fieldId(buf, line, nameEnd)
      fields[at + 1] = line - base
      fields[at + 2] = nameEnd - base
      fields[at + 3] = start - base
      fields[at + 4] = stop - base
      count++
      line = p + 2
    }
    this.count = count
    return line
  }

  #pause(pos: number): ParseResult {
    this.pos = pos
    return MORE
  }
}
