/** Sets, adds and removes fields of requests. */
import type { FieldList, Filter, RequestView } from './contract.ts'
import { compileTemplate } from './template.ts'

export function setRequestFields(fields: Readonly<Record<string, string>>): Filter {
  const rows = Object.entries(fields).map(([name, value]) => ({
    name,
    key: keyOf(name),
    value: compileTemplate(value),
  }))
  return {
    onRequest(request: RequestView): undefined {
      for (const { name, key, value } of rows) {
        removeTwins(request.fields, name, key)
        request.fields.set(name, value(request))
      }
    },
  }
}

export function addRequestFields(fields: Readonly<Record<string, string>>): Filter {
  const rows = Object.entries(fields).map(([name, value]) => ({ name, value: compileTemplate(value) }))
  return {
    onRequest(request: RequestView): undefined {
      for (const { name, value } of rows) request.fields.add(name, value(request))
    },
  }
}

export function removeRequestFields(names: readonly string[]): Filter {
  const rows = names.map((name) => ({ name, key: keyOf(name) }))
  return {
    onRequest({ fields }: RequestView): undefined {
      for (const { name, key } of rows) {
        removeTwins(fields, name, key)
        fields.remove(name)
      }
    },
  }
}

/** CGI-like backends can't tell `X_User` from `X-User`: to them both are HTTP_X_USER. */
const keyOf = (name: string): string => name.toLowerCase().replaceAll('_', '-')

/** Removes the client's other spellings of a field that the operator decides on. */
function removeTwins(fields: FieldList, name: string, key: string): void {
  const own = name.toLowerCase()
  const twins: string[] = []
  for (const [other] of fields.entries())
    if (other.length === key.length && other.toLowerCase() !== own && keyOf(other) === key) twins.push(other)
  for (const twin of twins) fields.remove(twin)
}
