/** The fields of a head as filters edit them. */
import type { FieldList } from './contract.ts'
import { RefusedError } from './refusal.ts'

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.1
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/ // RFC 9110 §5.5

interface Row {
  readonly name: string
  readonly lower: string
  value: string
}

export class Fields implements FieldList {
  #rows: Row[]

  /** @param fields of a head that has been read strictly: they are not checked again */
  constructor(fields: Iterable<readonly [name: string, value: string]> = []) {
    this.#rows = []
    for (const [name, value] of fields) this.#rows.push({ name, lower: name.toLowerCase(), value })
  }

  get(name: string): string | undefined {
    const lower = name.toLowerCase()
    return this.#rows.find((row) => row.lower === lower)?.value
  }

  all(name: string): string[] {
    const lower = name.toLowerCase()
    return this.#rows.filter((row) => row.lower === lower).map(({ value }) => value)
  }

  set(name: string, value: string): void {
    const row = rowOf(name, value)
    const first = this.#rows.findIndex(({ lower }) => lower === row.lower)
    if (first < 0) this.#rows.push(row)
    else this.#rows = this.#rows.flatMap((old, i) => (i === first ? row : old.lower === row.lower ? [] : old))
  }

  add(name: string, value: string): void {
    this.#rows.push(rowOf(name, value))
  }

  remove(name: string): boolean {
    const lower = name.toLowerCase()
    const { length } = this.#rows
    this.#rows = this.#rows.filter((row) => row.lower !== lower)
    return this.#rows.length < length
  }

  update(name: string, change: (value: string) => string): void {
    const lower = name.toLowerCase()
    for (const row of this.#rows) if (row.lower === lower) row.value = checked(change(row.value))
  }

  *entries(): Iterable<readonly [name: string, value: string]> {
    for (const { name, value } of this.#rows) yield [name, value]
  }
}

function rowOf(name: string, value: string): Row {
  if (!NAME.test(name)) throw new RefusedError({ status: 500, detail: 'a filter made a field name that is none' })
  return { name, lower: name.toLowerCase(), value: checked(value) }
}

/** The last line of defence: no filter ends a field line or a head. */
function checked(value: string): string {
  if (VALUE.test(value)) return value
  throw new RefusedError({ status: 500, detail: 'a filter made a field value with control characters' })
}
