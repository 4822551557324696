/** Reads what an authority answers, which may be anything. */

export type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The object in a text; an empty one where there is none. */
export function parseJson(text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

/** '' where there is no text. */
export function textOf(from: Json, key: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : ''
}

export function objectOf(from: Json, key: string): Json {
  const value = from[key]
  return isObject(value) ? value : {}
}

export function listOf(from: Json, key: string): Json[] {
  const value = from[key]
  return Array.isArray(value) ? value.filter(isObject) : []
}

export function textsOf(from: Json, key: string): string[] {
  const value = from[key]
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}
