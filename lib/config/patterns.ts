/**
 * Regular expressions that run in linear time on V8's backtracking engine, or the reason why one is refused.
 *
 * A pattern is tried from the start of the path only, and no text may lead to the same place in it in two ways. Then the
 * engine is never twice at one place of the pattern with one place of the text: its steps are at most length of the path
 * × `MAX_LIVE`. That is decided exactly, on pairs of places that one text leads to (the product of the Glushkov automaton
 * with itself; Weber and Seidl, "On the degree of ambiguity of finite automata"). What a pattern may not have at all:
 * back references, look-around, anchors inside, repetitions of what can be empty.
 */

const MAX_SOURCE = 512
const MAX_PLACES = 256
const MAX_LIVE = 16 // places that one text may lead to at once: steps per character
const MAX_PAIRS = 50_000 // looked at; no pattern that people write comes near
const MAX_REPEAT = 64

/** What a pattern has been found to be. */
export interface Pattern {
  readonly groups: number
}

/** What a pattern is tried on: the canonical path of a request, or any text, where `.` is a line feed too (flag `s`). */
type Subject = 'path' | 'text'

/** @returns the pattern, or a sentence that says what is wrong with it */
export function checkPattern(source: string, subject: Subject = 'path'): Pattern | string {
  if (source.length > MAX_SOURCE) return `is longer than ${MAX_SOURCE} characters`
  if (!source.startsWith('^')) return 'has no ^ at its start; where it may match anywhere, write ^.* first'
  try {
    const reader = new PatternReader(source, subject)
    checkAmbiguity(reader.read())
    new RegExp(source, 'us')
    return { groups: reader.groups }
  } catch (error) {
    if (error instanceof PatternError) return error.message
    if (error instanceof SyntaxError) return 'is not a regular expression'
    throw error
  }
}

class PatternError extends Error {}

/** The characters of a subject as bits: visible ASCII in a path; all of ASCII, and one bit for the rest, in a text. */
const VISIBLE = maskOf((code) => code > 32 && code < 127)
const REST = 1n << 128n
const ALL: Readonly<Record<Subject, bigint>> = { path: VISIBLE, text: maskOf(() => true) | REST }
const DIGIT = maskOf((code) => code >= 48 && code <= 57)
const WORD = maskOf((code) => /\w/.test(String.fromCharCode(code)))
const BLANK = maskOf((code) => /\s/.test(String.fromCharCode(code))) | REST
const TEXT = ALL.text
const CLASSES: Readonly<Record<Subject, Readonly<Record<string, bigint>>>> = {
  path: { d: DIGIT, D: VISIBLE & ~DIGIT, w: WORD, W: VISIBLE & ~WORD },
  // The rest has blanks and others, so both classes may take it.
  text: { d: DIGIT, D: TEXT & ~DIGIT, w: WORD, W: TEXT & ~WORD, s: BLANK, S: (TEXT & ~BLANK) | REST },
}
const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9 }

function maskOf(includes: (code: number) => boolean): bigint {
  let mask = 0n
  for (let code = 0; code < 128; code++) if (includes(code)) mask |= 1n << BigInt(code)
  return mask
}

/** One character of the pattern that takes one of the path; counted repetition makes several of it. */
interface Place {
  readonly mask: bigint
  /** Where it stands in the source, for messages. */
  readonly at: number
  readonly next: Set<Place>
}

/** A part of the pattern: where it begins, where it ends, and whether it can be empty. */
interface Part {
  readonly first: readonly Place[]
  readonly last: readonly Place[]
  readonly empty: boolean
}

const EMPTY: Part = { first: [], last: [], empty: true }

/** Reads the pattern by recursive descent, building the automaton on the way. */
class PatternReader {
  readonly #source: string
  readonly #subject: Subject
  #pos = 1 // behind the ^
  #places = 0
  groups = 0

  constructor(source: string, subject: Subject) {
    this.#source = source
    this.#subject = subject
  }

  read(): Part {
    const part = this.#sequence()
    if (this.#peek() === '|') throw this.#error('an alternative outside of a group; write ^(?:a|b)')
    if (this.#peek() === ')') throw this.#error('a ) too many')
    return part
  }

  #peek(): string {
    return this.#source.charAt(this.#pos)
  }

  #error(what: string, at = this.#pos): PatternError {
    return new PatternError(`has ${what} (character ${at + 1})`)
  }

  /** Up to `|`, `)` or the end. */
  #sequence(): Part {
    let part = EMPTY
    for (;;) {
      const char = this.#peek()
      if (char === '' || char === '|' || char === ')') return part
      if (char === '$' && this.#pos === this.#source.length - 1) {
        this.#pos++
        return part
      }
      part = this.#join(part, this.#repeated())
    }
  }

  /** A character or group with what repeats it. */
  #repeated(): Part {
    const start = this.#pos
    const groups = this.groups
    const part = this.#atom()
    const [min, max] = this.#quantifier()
    if (min === 1 && max === 1) return part
    if (part.empty) throw this.#error('a repetition of what can be empty', start)
    const end = this.#pos
    // Each further round is a copy, read again from the source. The last of an open range is a loop.
    const copy = (): Part => {
      this.#pos = start
      this.groups = groups
      return this.#atom()
    }
    let out = EMPTY
    for (let i = 0; i < min; i++) out = this.#join(out, i === 0 ? part : copy())
    if (max === Number.POSITIVE_INFINITY) {
      if (min === 0) out = { ...this.#loop(part), empty: true }
      else if (min === 1) out = this.#loop(part)
      else out = this.#join(out, { ...this.#loop(copy()), empty: true })
    } else {
      let tail = EMPTY
      for (let i = min; i < max; i++) tail = { ...this.#join(i === 0 ? part : copy(), tail), empty: true }
      out = this.#join(out, tail)
    }
    this.#pos = end
    return out
  }

  #quantifier(): readonly [min: number, max: number] {
    const at = this.#pos
    const match = /^(?:([*+?])|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})\??/.exec(this.#source.slice(at, at + 16))
    if (match === null) return [1, 1]
    this.#pos += match[0].length
    const [, sign, from, comma, to] = match
    if (sign !== undefined) return [sign === '+' ? 1 : 0, sign === '?' ? 1 : Number.POSITIVE_INFINITY]
    const min = Number(from)
    const max = comma === undefined ? min : to === undefined ? Number.POSITIVE_INFINITY : Number(to)
    if (max < min) throw this.#error('a range that runs backwards', at)
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY))
      throw this.#error(`a repetition above ${MAX_REPEAT}; write * or +`, at)
    if (max === 0) throw this.#error('a part that is repeated no time', at)
    return [min, max]
  }

  #atom(): Part {
    const at = this.#pos
    const char = this.#peek()
    if (char === '(') return this.#group()
    if (char === '[') return this.#place(this.#set(), at)
    this.#pos++
    if (char === '.') return this.#place(ALL[this.#subject], at)
    if (char === '\\') return this.#place(this.#escaped(''), at)
    if (char === '^' || char === '$') throw this.#error('an anchor inside', at)
    if ('*+?{}]'.includes(char)) throw this.#error(`a ${char} with nothing before it; write \\${char} for itself`, at)
    return this.#place(this.#bit(char, at), at)
  }

  #group(): Part {
    const at = this.#pos
    const opening = /^\((\?[:<=!]?[=!]?)?/.exec(this.#source.slice(at, at + 4))?.[0] ?? '('
    if (opening !== '(' && opening !== '(?:') throw this.#error('look-around or a named group', at)
    if (opening === '(') this.groups++
    this.#pos += opening.length
    let part = this.#sequence()
    while (this.#peek() === '|') {
      this.#pos++
      const other = this.#sequence()
      if (part.empty && other.empty) throw this.#error('two alternatives that can be empty', at)
      part = {
        first: [...part.first, ...other.first],
        last: [...part.last, ...other.last],
        empty: part.empty || other.empty,
      }
    }
    if (this.#peek() !== ')') throw this.#error('a group that is not closed', at)
    this.#pos++
    return part
  }

  /** `[a-z_]` or `[^/]`. */
  #set(): bigint {
    const at = this.#pos++
    const negated = this.#peek() === '^'
    if (negated) this.#pos++
    let mask = 0n
    while (this.#peek() !== ']') {
      const start = this.#pos
      const low = this.#member(at)
      if (this.#peek() !== '-' || this.#source.charAt(this.#pos + 1) === ']') mask |= low
      else {
        this.#pos++
        const high = this.#member(at)
        if (!isOneBit(low) || !isOneBit(high) || high < low) throw this.#error('a range that is none', start)
        mask |= (high << 1n) - low
      }
    }
    this.#pos++
    if (!negated) return mask
    // A class that takes some of the rest leaves some of it.
    return (ALL[this.#subject] & ~mask) | (mask & REST)
  }

  #member(at: number): bigint {
    const start = this.#pos
    const char = this.#peek()
    if (char === '') throw this.#error('a set that is not closed', at)
    this.#pos++
    return char === '\\' ? this.#escaped('-') : this.#bit(char, start)
  }

  /** What stands behind a backslash. */
  #escaped(more: string): bigint {
    const at = this.#pos
    const char = this.#peek()
    this.#pos++
    const classes = CLASSES[this.#subject]
    const set = Object.hasOwn(classes, char) ? classes[char] : undefined
    if (set !== undefined) return set
    const code = this.#subject === 'text' && Object.hasOwn(ESCAPES, char) ? ESCAPES[char] : undefined
    if (code !== undefined) return 1n << BigInt(code)
    if (char !== '' && `^$\\.*+?()[]{}|/${more}`.includes(char)) return this.#bit(char, at)
    throw this.#error(
      /\d|k/.test(char) ? 'a back reference' : `the escape \\${char}, which is not for a ${this.#subject}`,
      at - 1,
    )
  }

  #bit(char: string, at: number): bigint {
    const code = char.charCodeAt(0)
    if ((code > 32 && code < 127) || (code === 32 && this.#subject === 'text')) return 1n << BigInt(code)
    if (this.#subject === 'text') throw this.#error('a character that is not visible ASCII; write . or \\s', at)
    throw this.#error('a character that no path has; a path has visible ASCII only, the rest as %XX', at)
  }

  #place(mask: bigint, at: number): Part {
    if (++this.#places > MAX_PLACES) throw new PatternError('is too large')
    const place: Place = { mask, at, next: new Set() }
    return { first: [place], last: [place], empty: false }
  }

  #join(a: Part, b: Part): Part {
    link(a.last, b.first)
    return {
      first: a.empty ? [...a.first, ...b.first] : a.first,
      last: b.empty ? [...a.last, ...b.last] : b.last,
      empty: a.empty && b.empty,
    }
  }

  #loop(part: Part): Part {
    link(part.last, part.first)
    return part
  }
}

const isOneBit = (mask: bigint): boolean => mask !== 0n && (mask & (mask - 1n)) === 0n

/** A way that is there already is a second way: `(a+)+`. */
function link(from: readonly Place[], to: readonly Place[]): void {
  for (const a of from)
    for (const b of to) {
      if (a.next.has(b)) throw ambiguous(b)
      a.next.add(b)
    }
}

const ambiguous = ({ at }: Place): PatternError =>
  new PatternError(
    `is ambiguous: one text can match it in two ways (see character ${at + 1}), so that it could run very long; ` +
      'repetitions must exclude each other, as in ^/[^/]*/x',
  )

/** @throws PatternError when a text leads to one place in two ways, or to too many places at once */
function checkAmbiguity({ first }: Part): void {
  const together = new Map<Place, Set<Place>>()
  const known = new Set<Place>()
  const todo: (readonly [Place, Place])[] = []
  let looks = 0
  /** The same text leads to `a` on one way and to `b` on another. */
  const meet = (a: Place, b: Place): void => {
    if (++looks > MAX_PAIRS) throw new PatternError('is too complicated')
    if ((a.mask & b.mask) === 0n) return
    if (a === b) throw ambiguous(a)
    const partners = together.get(a) ?? new Set()
    if (partners.has(b)) return
    together.set(a, partners.add(b))
    together.set(b, (together.get(b) ?? new Set()).add(a))
    todo.push([a, b])
  }
  const part = (places: Iterable<Place>): void => {
    const list = [...places]
    for (const [i, a] of list.entries()) for (const b of list.slice(i + 1)) meet(a, b)
  }
  part(first)
  const places = [...first]
  for (const place of places) {
    if (known.has(place)) continue
    known.add(place)
    part(place.next)
    places.push(...place.next)
  }
  for (const [a, b] of todo) for (const x of a.next) for (const y of b.next) meet(x, y)
  if (crowd(together) > MAX_LIVE) throw new PatternError('has too many ways to go on at once')
}

/** How many places at most have each met each other: the degeneracy of the graph, and one. */
function crowd(together: ReadonlyMap<Place, ReadonlySet<Place>>): number {
  const left = new Map([...together].map(([place, partners]) => [place, new Set(partners)]))
  let most = 0
  while (left.size > 0) {
    let least: Place | undefined
    for (const [place, partners] of left)
      if (least === undefined || partners.size < (left.get(least)?.size ?? 0)) least = place
    if (least === undefined) break
    const partners = left.get(least) ?? new Set()
    most = Math.max(most, partners.size)
    left.delete(least)
    for (const partner of partners) left.get(partner)?.delete(least)
  }
  return most + 1
}
