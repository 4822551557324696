/** Field values with placeholders: `{client}`, `{host}`, `{path}`, `{scheme}`, `{request-id}`. */
import type { RequestView } from './contract.ts'

const PLACEHOLDERS: Readonly<Record<string, (request: RequestView) => string>> = {
  '{client}': (request) => request.clientAddress,
  '{host}': (request) => request.host,
  '{path}': (request) => request.originalPath,
  '{scheme}': (request) => request.scheme,
  '{request-id}': (request) => request.id,
}

export type Template = (request: RequestView) => string

/** Other braces stand for themselves. What is put in is not read again. */
export function compileTemplate(text: string): Template {
  const parts = text
    .split(/(\{(?:client|host|path|scheme|request-id)\})/)
    .filter((part) => part !== '')
    .map((part) => PLACEHOLDERS[part] ?? part)
  if (parts.every((part) => typeof part === 'string')) return () => text
  return (request) => parts.map((part) => (typeof part === 'string' ? part : part(request))).join('')
}
