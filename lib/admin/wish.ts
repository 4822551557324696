/** What a request asks for in its body: JSON, with the keys that are known there and no others. */
import type { Call } from './routes.ts'

/** @returns the fields, none where there is no body, or what is wrong with it */
export function wishIn({ body, request }: Call, known: readonly string[]): Record<string, unknown> | string {
  if (body === '') return {}
  // A form of some page may send any text, but not this type without asking first.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    return 'the body is JSON: send Content-Type: application/json'
  const fields = fieldsOf(body)
  if (fields === null) return 'the body is not a JSON object'
  const strange = Object.keys(fields).find((key) => !known.includes(key))
  return strange === undefined
    ? fields
    : `${JSON.stringify(strange)} is not known here; known: ${known.length === 0 ? 'nothing' : known.join(', ')}`
}

function fieldsOf(body: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}
