/**
 * Makes an HTTP/1.1 head of a request's fields, which the strict parser of HTTP/1.1 then reads: nothing is checked in two ways.
 * What only HTTP/2 forbids is found here (RFC 9113 §8.2, §8.3).
 */
import { randomBytes } from 'node:crypto'
import { CLASS, TARGET, TOKEN } from '../http/bytes.ts'
import { fieldId, ID, isTwin } from '../http/fields.ts'
import { type FieldBlock, memory } from './field-block.ts'

/** Kinds of bytes in names and values. */
const NAME = 1
const VALUE = 2
const AUTHORITY = 4
const KINDS = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  const upper = byte >= 65 && byte <= 90
  KINDS[byte] =
    (((CLASS[byte] as number) & TOKEN) !== 0 && !upper ? NAME : 0) |
    (byte === 0 || byte === 10 || byte === 13 ? 0 : VALUE) |
    (byte > 32 && byte !== 127 ? AUTHORITY : 0)
}

const VERSION = Buffer.from(' HTTP/1.1\r\n')
const HOST = Buffer.from('Host: ')
const COOKIE = Buffer.from('cookie: ')
const CHUNKED = Buffer.from('transfer-encoding: chunked\r\n')
const EXTRA_BYTES = 512 // more than all that is added to the lines of a block

/** Room that the head of these fields needs. */
export const roomFor = (block: FieldBlock): number => 2 * block.at + EXTRA_BYTES

export class RequestWriter {
  /** What was malformed, or ''. */
  problem = ''
  /** Where the head ends in the shared memory. */
  end = 0
  /** Its body comes without a length. */
  chunked = false
  /** -1: none was told. */
  length = -1
  /** The key of the WebSocket handshake that it asks a backend for, ''. */
  key = ''
  #cookies = 0

  clear(): void {
    this.problem = ''
    this.chunked = false
    this.length = -1
    this.key = ''
  }

  /** Writes the head at `at`. `ended`: it has no body. False: malformed. */
  write(block: FieldBlock, at: number, ended: boolean): boolean {
    this.clear()
    let method = -1
    let scheme = -1
    let path = -1
    let authority = -1
    let protocol = -1
    let first = 0
    for (; first < block.count && memory[block.nameStart(first)] === 58; first++) {
      const name = pseudo(block, first)
      if (name === METHOD && method < 0) method = first
      else if (name === SCHEME && scheme < 0) scheme = first
      else if (name === PATH && path < 0) path = first
      else if (name === AUTHORITY_FIELD && authority < 0) authority = first
      else if (name === PROTOCOL && protocol < 0) protocol = first
      else return this.#malformed(name === 0 ? 'a pseudo-field is unknown' : 'a pseudo-field is repeated')
    }
    if (method < 0) return this.#malformed('there is no :method')
    if (!all(block.valueStart(method), block.valueEnd(method), CLASS, TOKEN))
      return this.#malformed('the method is not a token')
    const connect = isConnect(block, method)
    if (connect && protocol < 0) {
      if (scheme >= 0 || path >= 0 || authority < 0) return this.#malformed('CONNECT has an authority only')
      path = authority
    } else {
      if (protocol >= 0 && (!connect || authority < 0)) return this.#malformed('this is no extended CONNECT')
      if (scheme < 0 || !isScheme(block, scheme)) return this.#malformed('the scheme is neither http nor https')
      if (path < 0 || !isPath(block, path)) return this.#malformed('the path is not one')
    }
    if (authority >= 0 && !all(block.valueStart(authority), block.valueEnd(authority), KINDS, AUTHORITY))
      return this.#malformed('the authority is not one')
    const host = this.#fields(block, first, ended)
    if (host === BROKEN) return false
    let p = at
    p = protocol >= 0 ? literal(GET, p) : value(block, method, p)
    memory[p++] = 32
    // Where both are told and differ, the parser of HTTP/1.1 sees them both, and refuses (HTTP.md 7).
    if (authority >= 0 && host >= 0 && !sameText(block, authority, host)) p = value(block, authority, literal(HTTP, p))
    else if (authority >= 0 && host >= 0) this.#drop(host)
    p = value(block, path, p)
    p = literal(VERSION, p)
    if (authority >= 0 && (host < 0 || dropped[host] === 1)) {
      p = value(block, authority, literal(HOST, p))
      p = lineEnd(p)
    }
    p = this.#lines(block, first, p)
    if (this.#cookies > 1) p = cookies(block, first, p)
    if (protocol >= 0) {
      if (this.length > 0) return this.#malformed('an extended CONNECT has no length')
      this.key = randomBytes(16).toString('base64')
      p += memory.latin1Write(`connection: Upgrade\r\nsec-websocket-key: ${this.key}\r\nupgrade: `, p)
      p = lineEnd(value(block, protocol, p))
    } else if (!ended && this.length < 0) {
      this.chunked = true
      p = literal(CHUNKED, p)
    }
    this.end = lineEnd(p)
    return true
  }

  #malformed(problem: string): false {
    this.problem = problem
    return false
  }

  #drop(field: number): void {
    dropped[field] = 1
  }

  /** Looks at all fields but the pseudo ones; answers which is Host: -1 none, BROKEN: malformed. */
  #fields(block: FieldBlock, first: number, ended: boolean): number {
    let host = -1
    this.#cookies = 0
    for (let i = first; i < block.count; i++) {
      dropped[i] = 0
      const start = block.nameStart(i)
      const end = block.nameEnd(i)
      if (!isField(block, i)) {
        this.problem = 'a field is malformed'
        return BROKEN
      }
      const id = fieldId(memory, start, end)
      if (id === 0) continue
      if (id === ID.cookie) this.#cookies++
      else if (id === ID.host && !isTwin(memory, start, end)) host = host < 0 ? i : host
      else if (FORBIDDEN.has(id) && !isTwin(memory, start, end)) {
        this.problem = 'a field of the connection'
        return BROKEN
      } else if (id === ID.te && memory.latin1Slice(block.valueStart(i), block.valueEnd(i)) !== 'trailers') {
        this.problem = 'TE is not trailers'
        return BROKEN
      } else if (id === ID['content-length'] && !isTwin(memory, start, end)) {
        this.length = Number(memory.latin1Slice(block.valueStart(i), block.valueEnd(i)))
        if (ended && this.length > 0) {
          this.problem = 'there is less content than Content-Length says'
          return BROKEN
        }
      }
    }
    return host
  }

  /** Copies the lines that go on, in as few pieces as possible; several cookies become one line (RFC 9113 §8.2.3). */
  #lines(block: FieldBlock, first: number, at: number): number {
    let p = at
    let from = first
    for (let i = first; i <= block.count; i++) {
      const leave =
        i < block.count &&
        (dropped[i] === 1 || (this.#cookies > 1 && fieldId(memory, block.nameStart(i), block.nameEnd(i)) === ID.cookie))
      if (!leave && i < block.count) continue
      if (i > from) {
        const start = block.nameStart(from)
        const end = block.lineEnd(i - 1)
        memory.copyWithin(p, start, end)
        p += end - start
      }
      from = i + 1
    }
    return p
  }
}

const BROKEN = -2
const GET = Buffer.from('GET')
const HTTP = Buffer.from('http://')
const METHOD = 1
const SCHEME = 2
const PATH = 3
const AUTHORITY_FIELD = 4
const PROTOCOL = 5
const PSEUDO = new Map([
  [':method', METHOD],
  [':scheme', SCHEME],
  [':path', PATH],
  [':authority', AUTHORITY_FIELD],
  [':protocol', PROTOCOL],
])
const FORBIDDEN = new Set([
  ID.connection,
  ID['keep-alive'],
  ID['proxy-connection'],
  ID['transfer-encoding'],
  ID.upgrade,
])

/** Which fields of the block in hand are left out. */
const dropped = new Uint8Array(1005) // as many as a block has

/** Which pseudo-field it is; 0: none that a request has. */
function pseudo(block: FieldBlock, field: number): number {
  const start = block.nameStart(field)
  const length = block.nameEnd(field) - start
  // The common ones differ in length and second letter; the rest of the name is compared as text.
  if (length < 5 || length > 10) return 0
  return PSEUDO.get(memory.latin1Slice(start, start + length)) ?? 0
}

function all(start: number, end: number, table: Uint8Array, kind: number): boolean {
  for (let p = start; p < end; p++) if (((table[memory[p] as number] as number) & kind) === 0) return false
  return end > start
}

/** A name in small letters, and a value without white space around it or bytes that would end its line (RFC 9113 §8.2.1). */
export function isField(block: FieldBlock, field: number): boolean {
  if (!all(block.nameStart(field), block.nameEnd(field), KINDS, NAME)) return false
  const start = block.valueStart(field)
  const end = block.valueEnd(field)
  if (start === end) return true
  if (isSpace(memory[start] as number) || isSpace(memory[end - 1] as number)) return false
  return all(start, end, KINDS, VALUE)
}

const isSpace = (byte: number): boolean => byte === 32 || byte === 9

const isConnect = (block: FieldBlock, field: number): boolean =>
  block.valueEnd(field) - block.valueStart(field) === 7 &&
  memory.latin1Slice(block.valueStart(field), block.valueEnd(field)) === 'CONNECT'

function isScheme(block: FieldBlock, field: number): boolean {
  const start = block.valueStart(field)
  const length = block.valueEnd(field) - start
  if (length !== 4 && length !== 5) return false
  const text = memory.latin1Slice(start, start + length)
  return text === 'http' || text === 'https'
}

/** A path and query, or the `*` of OPTIONS, which the parser of HTTP/1.1 allows no other method. */
function isPath(block: FieldBlock, field: number): boolean {
  const start = block.valueStart(field)
  const end = block.valueEnd(field)
  return (memory[start] === 47 || (memory[start] === 42 && end - start === 1)) && all(start, end, CLASS, TARGET)
}

function sameText(block: FieldBlock, a: number, b: number): boolean {
  const one = memory.latin1Slice(block.valueStart(a), block.valueEnd(a))
  const other = memory.latin1Slice(block.valueStart(b), block.valueEnd(b))
  return one === other || one.toLowerCase() === other.toLowerCase()
}

function literal(bytes: Buffer, at: number): number {
  memory.set(bytes, at)
  return at + bytes.length
}

function value(block: FieldBlock, field: number, at: number): number {
  memory.copyWithin(at, block.valueStart(field), block.valueEnd(field))
  return at + block.valueEnd(field) - block.valueStart(field)
}

function lineEnd(at: number): number {
  memory[at] = 13
  memory[at + 1] = 10
  return at + 2
}

function cookies(block: FieldBlock, first: number, at: number): number {
  let p = literal(COOKIE, at)
  const start = p
  for (let i = first; i < block.count; i++) {
    if (fieldId(memory, block.nameStart(i), block.nameEnd(i)) !== ID.cookie) continue
    if (p > start) {
      memory[p++] = 59
      memory[p++] = 32
    }
    p = value(block, i, p)
  }
  return lineEnd(p)
}

function isOfConnection(block: FieldBlock, field: number): boolean {
  const start = block.nameStart(field)
  const end = block.nameEnd(field)
  return FORBIDDEN.has(fieldId(memory, start, end)) && !isTwin(memory, start, end)
}

/** The lines of a block of trailers as text; '': malformed (RFC 9113 §8.1, §8.2.2). */
export function trailerLines(block: FieldBlock): string {
  for (let i = 0; i < block.count; i++) if (!isField(block, i) || isOfConnection(block, i)) return ''
  return memory.latin1Slice(0, block.at)
}
