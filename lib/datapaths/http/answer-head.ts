/** What the service makes of an answer's head before it goes to the client: filters, and what keeps clients on backends. */
import { formatAddress } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { ServicePool } from '../contract.ts'
import type { Asked } from './asked.ts'
import type { HttpContext } from './context.ts'
import { filterResponse } from './filtered-head.ts'

/** The head behind filters and affinity; null: it can't go on. */
export function changedHead(
  context: HttpContext,
  asked: Asked,
  text: string,
  status: number,
  place: ServicePool,
  affinityKey: string,
  backend: Backend,
): string | null {
  const { filtering } = context
  const view = asked.filtered?.view ?? null
  const filtered =
    filtering === null ? text : filterResponse(filtering, text, status, view, formatAddress(backend.host, backend.port))
  return filtered === null ? null : markedHead(context, asked, filtered, place, affinityKey, backend)
}

/** The head with what keeps the client on its backend. */
export function markedHead(
  { affinityFields }: HttpContext,
  { keyValues }: Asked,
  text: string,
  place: ServicePool,
  affinityKey: string,
  backend: Backend,
): string {
  if (keyValues === null || affinityFields === null) return text
  return affinityFields.answer(text, place, affinityKey, backend) ?? text
}
