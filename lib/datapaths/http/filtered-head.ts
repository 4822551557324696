/** Filters over heads that are text: what the native engine is about to send. */
import { Fields, type FilterRequest } from '../../filters/index.ts'
import { trimmed } from '../trimmed.ts'
import type { Filtered, Filtering, RequestFacts } from './filtering.ts'

export interface FilteredHead extends Filtered {
  /** The head that goes on. */
  readonly text: string
  /** Host is in the head. */
  readonly hasHost: boolean
}

/** @param text a whole head in origin-form, well-formed */
export function filterRequest(
  filtering: Filtering,
  text: string,
  facts: Omit<RequestFacts, 'method' | 'target'>,
): FilteredHead {
  const lines = text.split('\r\n')
  const [method = '', line = ''] = (lines[0] ?? '').split(' ')
  const fields = fieldsOf(lines)
  const { target, reply, view } = filtering.request({ ...facts, method, target: line }, fields)
  const hasHost = fields.get('host') !== undefined
  return { target, reply, view, text: headText(`${method} ${target} HTTP/1.1`, fields), hasHost }
}

/** The answer's head behind its filters; null: they made something that can't go on. */
export function filterResponse(
  filtering: Filtering,
  text: string,
  status: number,
  request: FilterRequest | null,
  backend: string,
): string | null {
  if (!filtering.answers || request === null) return text
  const lines = text.split('\r\n')
  const fields = fieldsOf(lines)
  return filtering.response(status, fields, request, backend) ? headText(lines[0] ?? '', fields) : null
}

function fieldsOf(lines: readonly string[]): Fields {
  const rows: [string, string][] = []
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':')
    if (colon > 0) rows.push([line.slice(0, colon), trimmed(line.slice(colon + 1))])
  }
  return new Fields(rows)
}

function headText(start: string, fields: Fields): string {
  let text = `${start}\r\n`
  for (const [name, value] of fields.entries()) text += `${name}: ${value}\r\n`
  return `${text}\r\n`
}
