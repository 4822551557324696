/** One configuration file as text, and problems that point into it. */
import { LineCounter } from 'yaml'
import { formatPath, type Path } from './path.ts'

/** One thing that is wrong, for people and machines. Line and column count from 1. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** Such as `virtualServices.shop.backends[1].port`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** The line that it points at, secrets masked, at most `LINE_CHARS` long. */
  readonly sourceLine: string
}

export interface Place {
  readonly source: Source
  readonly offset: number
}

/** A problem before it is written out: masking needs to know all secrets of the file first. */
export interface Finding {
  readonly at: Place
  readonly path: Path
  readonly message: string
}

const LINE_CHARS = 512 // enough for any terminal; a file of one long line must not be repeated in each problem
const MESSAGE_CHARS = 1000 // a message may quote the value
const NO_SECRET = /^["']?(?:\$\{\w+\})?["']?$/ // nothing, or the name of a variable
const MAX_PROBLEMS = 1000 // more help nobody, and a hostile file could have millions
const SECRET_KEY = /(?:^|[\s{,"'])(?:token|passphrase|password|secret|authorization|x-api-key)["']?\s*:\s*/i

/** Stands for a secret wherever text is shown. */
export const MASK = '***'

/** Keys, and names of header fields, whose values appear in no message, log or API answer. */
export const isSecret = (key: string): boolean =>
  /^(?:token|passphrase|password|secret|(?:proxy-)?authorization|x-api-key)$/i.test(key)

export class Source {
  /** As it is shown in problems. */
  readonly name: string
  /** Absolute: what relative paths in this file are relative to. */
  readonly folder: string
  readonly text: string
  readonly #lines = new LineCounter()
  readonly #secrets: (readonly [number, number])[] = []

  constructor(name: string, folder: string, text: string) {
    this.name = name
    this.folder = folder
    this.text = text
    this.#lines.addNewLine(0)
    for (let i = text.indexOf('\n'); i !== -1; i = text.indexOf('\n', i + 1)) this.#lines.addNewLine(i + 1)
  }

  /** From here on the text between the two offsets is masked wherever its line is shown. */
  hide(start: number, end: number): void {
    if (end > start) this.#secrets.push([start, end])
  }

  /** What is hidden, as offsets. */
  get secrets(): readonly (readonly [start: number, end: number])[] {
    return this.#secrets
  }

  /** The whole text, with `***` in the place of every secret that stands in it. */
  masked(): string {
    const ranges = this.#secrets.toSorted(([a], [b]) => a - b)
    let masked = ''
    let at = 0
    for (const [start, end] of ranges) {
      if (start < at || NO_SECRET.test(this.text.slice(start, end))) continue
      masked += `${this.text.slice(at, start)}"${MASK}"` // plain, it would be an alias of YAML
      at = end
    }
    return masked + this.text.slice(at)
  }

  position(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(Math.min(offset, this.text.length))
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  /** The text of a line, masked: what the reader marked as secret, or else all that follows a secret's key. */
  line(number: number): string {
    const start = this.#lines.lineStarts[number - 1] ?? 0
    const after = this.#lines.lineStarts[number] ?? this.text.length + 1
    const end = Math.min(after - 1, start + LINE_CHARS)
    let line = this.text.slice(start, end)
    let hidden = false
    for (const [from, to] of this.#secrets) {
      if (from >= end || to <= start) continue
      hidden = true
      const [a, b] = [Math.max(from - start, 0), Math.min(to, end) - start]
      line = line.slice(0, a) + '***'.slice(0, b - a).padEnd(b - a) + line.slice(b)
    }
    const match = hidden ? null : SECRET_KEY.exec(line)
    if (match !== null) line = `${line.slice(0, match.index + match[0].length)}***`
    return line.trimEnd()
  }
}

/** `virtual-services.yaml:14:13`, for a message that names another place. */
export function where(at: Place): string {
  const { line, column } = at.source.position(at.offset)
  return `${at.source.name}:${line}:${column}`
}

/** In the order of the files and lines, each once; what stands under `defaults` is told as such, not per service. */
export function toProblems(findings: readonly Finding[], sources: readonly Source[]): Problem[] {
  const order = new Map(sources.map((source, i) => [source, i]))
  const unique = new Map<string, Finding>()
  for (const finding of findings) {
    const key = `${order.get(finding.at.source)}:${finding.at.offset}:${finding.message}`
    const known = unique.get(key)
    if (known === undefined || (finding.path[0] === 'defaults' && known.path[0] !== 'defaults'))
      unique.set(key, finding)
  }
  const sorted = [...unique.values()].sort(
    (a, b) => (order.get(a.at.source) ?? 0) - (order.get(b.at.source) ?? 0) || a.at.offset - b.at.offset,
  )
  const problems = sorted.slice(0, MAX_PROBLEMS).map(toProblem)
  const next = sorted[MAX_PROBLEMS]
  if (next !== undefined) {
    const message = `and ${sorted.length - MAX_PROBLEMS} more problems from here on`
    problems.push(toProblem({ at: next.at, path: [], message }))
  }
  return problems
}

function toProblem({ at, path, message }: Finding): Problem {
  const { line, column } = at.source.position(at.offset)
  const short = message.length > MESSAGE_CHARS ? `${message.slice(0, MESSAGE_CHARS)}…` : message
  return {
    file: at.source.name,
    line,
    column,
    path: formatPath(path),
    message: short,
    sourceLine: at.source.line(line),
  }
}
