/** The text of single fields of a head. */
import { isRequestId } from './field-names.ts'
import { ID, isTwin } from './fields.ts'
import type { Head } from './head.ts'

/** The value of a field by its place, '' for -1. */
export const fieldText = (head: Head, buf: Buffer, base: number, field: number): string =>
  field < 0 ? '' : buf.latin1Slice(base + head.valueStart(field), base + head.valueEnd(field))

/** The value of the first field with this number, or ''. */
export function firstText(head: Head, buf: Buffer, base: number, id: number): string {
  for (let i = 0; i < head.count; i++)
    if (head.id(i) === id && !isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i)))
      return fieldText(head, buf, base, i)
  return ''
}

/** A trusted proxy's request id: printable, and short enough to be one; else ''. */
export function requestIdOf(head: Head, buf: Buffer, base: number): string {
  const text = firstText(head, buf, base, ID['x-request-id'])
  return isRequestId(text) ? text : ''
}
