/** Filters over flat lists of fields, as node:http takes them. */
import { Fields, type FilterRequest } from '../../filters/index.ts'
import type { Filtered, Filtering, RequestFacts } from '../http/filtering.ts'

export interface FilteredFields extends Filtered {
  readonly fields: readonly string[]
}

export function filterRequest(filtering: Filtering, facts: RequestFacts, raw: readonly string[]): FilteredFields {
  const fields = listOf(raw)
  const { target, reply, view } = filtering.request(facts, fields)
  return { target, reply, view, fields: rawOf(fields) }
}

/** The answer's fields behind its filters; null: they made something that can't go on. */
export function filterResponse(
  filtering: Filtering,
  raw: readonly string[],
  status: number,
  request: FilterRequest | null,
  backend: string,
): readonly string[] | null {
  if (!filtering.answers || request === null) return raw
  const fields = listOf(raw)
  return filtering.response(status, fields, request, backend) ? rawOf(fields) : null
}

function listOf(raw: readonly string[]): Fields {
  const rows: [string, string][] = []
  for (let i = 0; i + 1 < raw.length; i += 2) rows.push([raw[i] ?? '', raw[i + 1] ?? ''])
  return new Fields(rows)
}

const rawOf = (fields: Fields): string[] => [...fields.entries()].flat()
