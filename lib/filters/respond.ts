/** A fixed answer, without a backend. */
import type { Filter, Reply } from './contract.ts'

export interface RespondOptions {
  readonly status: number
  readonly fields: Readonly<Record<string, string>>
  /** Text, sent as UTF-8. */
  readonly body: string
}

export function fixedReply({ status, fields, body }: RespondOptions): Reply {
  const rows = Object.entries(fields)
  const typed = rows.some(([name]) => name.toLowerCase() === 'content-type')
  const bytes = Buffer.from(body, 'utf8')
  return {
    status,
    fields: body === '' || typed ? rows : [['Content-Type', 'text/plain; charset=utf-8'], ...rows],
    body: bytes.toString('latin1'),
    detail: null,
  }
}

export function respond(options: RespondOptions): Filter {
  const reply = fixedReply(options)
  return { onRequest: () => reply }
}
