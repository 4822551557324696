/** Sets, adds and removes fields of answers. */
import type { Filter, ResponseView } from './contract.ts'
import { compileTemplate } from './template.ts'

export function setResponseFields(fields: Readonly<Record<string, string>>): Filter {
  const rows = Object.entries(fields).map(([name, value]) => ({ name, value: compileTemplate(value) }))
  return {
    onResponse(response: ResponseView): void {
      for (const { name, value } of rows) response.fields.set(name, value(response.request))
    },
  }
}

export function addResponseFields(fields: Readonly<Record<string, string>>): Filter {
  const rows = Object.entries(fields).map(([name, value]) => ({ name, value: compileTemplate(value) }))
  return {
    onResponse(response: ResponseView): void {
      for (const { name, value } of rows) response.fields.add(name, value(response.request))
    },
  }
}

export function removeResponseFields(names: readonly string[]): Filter {
  return {
    onResponse({ fields }: ResponseView): void {
      for (const name of names) fields.remove(name)
    },
  }
}
