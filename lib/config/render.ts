/** Writes problems out: for a terminal, with the line and a caret, and for machines. */
import type { Problem } from './source.ts'

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g // all but the tab

interface RenderOptions {
  readonly colour: boolean
  /** What the last line counts. Default: problem. */
  readonly noun?: 'problem' | 'warning'
}

/** Ends with a line feed, unless there are no problems. */
export function renderProblems(problems: readonly Problem[], options: RenderOptions): string {
  if (problems.length === 0) return ''
  const paint = (code: string, text: string) => (options.colour && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text)
  const blocks = problems.map((problem) => {
    const { file, line, column } = problem
    const path = problem.path === '' ? '' : ` ${paint('1', clean(problem.path))}`
    const head = `${paint('36', `${clean(file)}:${line}:${column}`)}${path}: ${clean(problem.message)}\n`
    const source = clean(problem.sourceLine)
    if (source.trim() === '' || column > problem.sourceLine.length + 1) return head
    return `${head}    ${source}\n    ${indent(problem)}${paint('31', '^')}\n`
  })
  const files = new Set(problems.map((problem) => problem.file))
  const [first = ''] = files
  const noun = options.noun ?? 'problem'
  const count = problems.length === 1 ? `1 ${noun}` : `${problems.length} ${noun}s`
  return `${blocks.join('')}${count} in ${files.size === 1 ? clean(first) : `${files.size} files`}\n`
}

/** What stands before the column, as blanks of the same width: a tab stays a tab, a surrogate pair is one. */
const indent = ({ sourceLine, column }: Problem): string =>
  [...sourceLine.slice(0, column - 1)].map((char) => (char === '\t' ? '\t' : ' ')).join('')

/** A file's text must not be able to steer the terminal. */
const clean = (text: string): string => text.replace(CONTROL, '\ufffd')

export function problemsToJson(problems: readonly Problem[]): string {
  return JSON.stringify({ problems }, null, 2)
}
