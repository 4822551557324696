/** Lays a table out for the width of a terminal. */
import type { Paint, Style } from './paint.ts'

export interface Column {
  readonly title: string
  readonly align?: 'right'
  /** It is cut first, down to this many characters. */
  readonly shrinksTo?: number
  /** It goes when cutting does not help. */
  readonly optional?: true
}

export interface Cell {
  readonly text: string
  readonly style?: Style
}

const GAP = '  '
const CONTROL = /\p{Cc}|\p{Cf}/gu

const lengthOf = (text: string): number => [...text].length

/** What others say must not steer the terminal. */
export const harmless = (text: string): string => text.replace(CONTROL, '\ufffd')

export function cut(text: string, width: number): string {
  const chars = [...text]
  return chars.length <= width ? text : `${chars.slice(0, Math.max(0, width - 1)).join('')}…`
}

/**
 * Lines, the titles first.
 * @param width of the terminal; Infinity: nothing is cut
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
  paint: Paint,
): string[] {
  const clean = rows.map((row) => row.map((cell) => ({ ...cell, text: harmless(cell.text) })))
  const natural = columns.map((column, i) =>
    Math.max(lengthOf(column.title), ...clean.map((row) => lengthOf(row[i]?.text ?? ''))),
  )
  const smallest = columns.map(({ shrinksTo }, i) => Math.min(natural[i] ?? 0, shrinksTo ?? Number.POSITIVE_INFINITY))
  const wide = smallest.reduce((sum, n) => sum + n, 0) + GAP.length * (columns.length - 1) > width
  const shown = columns.flatMap((column, i) => (wide && column.optional === true ? [] : [i]))
  const widths = fit(shown, natural, smallest, width)
  const lineOf = (cells: readonly Cell[]): string => {
    let line = ''
    let room = width
    for (const [i, at] of shown.entries()) {
      const gap = i === 0 ? '' : GAP
      const size = Math.min(widths[i] ?? 0, room - gap.length)
      if (size <= 0) break
      const { text, style } = cells[at] ?? { text: '' }
      const plain = cut(text, size)
      const padding = ' '.repeat(size - lengthOf(plain))
      const painted = style === undefined ? plain : paint(style, plain)
      line += gap + (columns[at]?.align === 'right' ? padding + painted : painted + padding)
      room -= gap.length + size
    }
    return line.trimEnd()
  }
  return [lineOf(columns.map(({ title }) => ({ text: title, style: 'dim' }))), ...clean.map(lineOf)]
}

/** Takes what is too much from the columns that shrink, the first one first. */
function fit(
  shown: readonly number[],
  natural: readonly number[],
  smallest: readonly number[],
  width: number,
): number[] {
  let over = shown.reduce((sum, at) => sum + (natural[at] ?? 0), 0) + GAP.length * (shown.length - 1) - width
  return shown.map((at) => {
    const size = natural[at] ?? 0
    const less = Math.min(Math.max(0, over), size - (smallest[at] ?? 0))
    over -= less
    return size - less
  })
}
