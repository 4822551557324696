/** What a request's head means: method, target, host, body, upgrade. HTTP.md lines 5–7, 14, 15. */
import { trimmed } from '../trimmed.ts'
import { equals } from './bytes.ts'
import { ID } from './fields.ts'
import { Framing } from './framing.ts'
import { Head } from './head.ts'
import { validHost } from './host.ts'

/** Methods that may be sent again when the first try may have been processed (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

export interface RequestRules {
  readonly allowTrace: boolean
  readonly upgrades: readonly string[]
  readonly via: string | false
}

export class RequestHead extends Head {
  readonly framing = new Framing()
  method = ''
  /** Origin-form of the target: offsets from the base. Empty path: `/` (or `*` for OPTIONS) stands for it. */
  pathStart = 0
  pathEnd = 0
  absolute = false
  /** The authority that counts, offsets from the base; equal: none (HTTP/1.0). */
  hostStart = 0
  hostEnd = 0
  hostField = -1
  expectContinue = false
  /** There is a TE field. */
  te = false
  /** The one protocol that the request may upgrade to, as the client wrote it; ''. */
  upgrade = ''
  /** Accept, User-Agent and Referer fields; -1: none. */
  accept = -1
  userAgent = -1
  referer = -1

  get idempotent(): boolean {
    return IDEMPOTENT.has(this.method)
  }

  #fail(status: number, problem: string): boolean {
    this.error = status
    this.problem = problem
    return false
  }

  /** Reads the whole head at `base`; false: refused, see `error` and `problem`. */
  interpret(buf: Buffer, base: number, rules: RequestRules): boolean {
    this.method = methodName(buf, base + this.methodStart, base + this.methodEnd)
    this.expectContinue = false
    this.te = false
    this.upgrade = ''
    this.hostField = -1
    this.accept = -1
    this.userAgent = -1
    this.referer = -1
    if (!this.framing.read(this, buf, base)) return this.#fail(this.framing.error, this.framing.problem)
    let upgradeField = -1
    let upgrades = 0
    let expected = false
    for (let i = 0; i < this.count; i++) {
      const id = this.id(i)
      if (id === 0) continue
      if (id === ID.host) {
        if (this.hostField >= 0) return this.#fail(400, 'Host is repeated')
        this.hostField = i
      } else if (id === ID.expect) {
        // Two of them are a list of two (RFC 9110 §5.3), which is no expectation that we know.
        if (expected || !equals(buf, base + this.valueStart(i), base + this.valueEnd(i), '100-continue'))
          return this.#fail(417, 'the expectation is unknown')
        expected = true
        this.expectContinue = this.minor === 1
      } else if (id === ID.upgrade) {
        upgradeField = i
        upgrades++
      } else if (id === ID.via && rules.via !== false) {
        if (passedBy(buf, base + this.valueStart(i), base + this.valueEnd(i), rules.via))
          return this.#fail(508, 'the request was here before')
      } else if (id === ID.te) this.te = true
      else if (id === ID.accept) this.accept = i
      else if (id === ID['user-agent']) this.userAgent = i
      else if (id === ID.referer) this.referer = i
    }
    if (!this.#target(buf, base) || !this.#host(buf, base)) return false
    if (this.method === 'CONNECT') return this.#fail(405, 'CONNECT is not served')
    if (this.method === 'TRACE' && !rules.allowTrace) return this.#fail(405, 'TRACE is not served')
    if (
      upgrades === 1 &&
      this.framing.upgrade &&
      this.minor === 1 &&
      this.framing.length <= 0 &&
      !this.framing.chunked
    ) {
      const token = buf.latin1Slice(base + this.valueStart(upgradeField), base + this.valueEnd(upgradeField))
      const lower = token.toLowerCase()
      if (lower !== 'h2c' && rules.upgrades.includes(lower)) this.upgrade = token
    }
    return true
  }

  #target(buf: Buffer, base: number): boolean {
    const start = base + this.targetStart
    const end = base + this.targetEnd
    this.absolute = false
    this.pathStart = this.targetStart
    this.pathEnd = this.targetEnd
    if (buf[start] === 47 || this.method === 'CONNECT') return true
    if (buf[start] === 42 && end - start === 1)
      return this.method === 'OPTIONS' || this.#fail(400, '* is a target of OPTIONS only')
    const scheme = equals(buf, start, start + 7, 'http://') ? 7 : equals(buf, start, start + 8, 'https://') ? 8 : 0
    if (scheme === 0 || end - start <= scheme) return this.#fail(400, 'the target is neither a path nor an http URI')
    let p = start + scheme
    while (p < end && buf[p] !== 47 && buf[p] !== 63) p++
    this.absolute = true
    this.hostStart = this.targetStart + scheme
    this.hostEnd = p - base
    this.pathStart = p - base
    return true
  }

  /** Exactly one Host on HTTP/1.1, well-formed; the authority of an absolute target must agree with it. */
  #host(buf: Buffer, base: number): boolean {
    if (this.hostField < 0) {
      if (this.minor === 1) return this.#fail(400, 'Host is missing')
      if (!this.absolute) {
        this.hostStart = 0
        this.hostEnd = 0
        return true
      }
    } else {
      const start = this.valueStart(this.hostField)
      const end = this.valueEnd(this.hostField)
      if (
        this.absolute &&
        !equals(
          buf,
          base + start,
          base + end,
          buf.latin1Slice(base + this.hostStart, base + this.hostEnd).toLowerCase(),
        )
      ) {
        return this.#fail(400, 'Host and target disagree')
      }
      this.hostStart = start
      this.hostEnd = end
    }
    return validHost(buf, base + this.hostStart, base + this.hostEnd) || this.#fail(400, 'Host is malformed')
  }
}

/** Does a Via field name us as one who received it? */
function passedBy(buf: Buffer, start: number, end: number, name: string): boolean {
  return buf
    .latin1Slice(start, end)
    .split(',')
    .some((hop) => receiverOf(hop) === name)
}

/** Of `1.1 name (comment)` the name (RFC 9110 §7.6.3). */
export const receiverOf = (hop: string): string | undefined => trimmed(hop).split(/[ \t]+/)[1]

/** The common methods without making a string. */
function methodName(buf: Buffer, start: number, end: number): string {
  const length = end - start
  if (length === 3 && buf[start] === 71 && buf[start + 1] === 69 && buf[start + 2] === 84) return 'GET'
  if (length === 4 && buf[start] === 80 && buf[start + 1] === 79 && buf[start + 2] === 83 && buf[start + 3] === 84)
    return 'POST'
  return buf.latin1Slice(start, end)
}
