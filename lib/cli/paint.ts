/** Colours, for a terminal whose user has not declined them. */

export type Style = 'red' | 'green' | 'yellow' | 'blue' | 'dim' | 'bold'
export type Paint = (style: Style, text: string) => string

const CODES: Readonly<Record<Style, number>> = { red: 31, green: 32, yellow: 33, blue: 34, dim: 2, bold: 1 }

/** https://no-color.org: any value but the empty one declines. */
export function painter(terminal: boolean, noColor = process.env['NO_COLOR'] ?? ''): Paint {
  if (!terminal || noColor !== '') return (_style, text) => text
  return (style, text) => (text === '' ? '' : `\x1b[${CODES[style]}m${text}\x1b[0m`)
}
