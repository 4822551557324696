/** The table of affinities: a new one is one file and one row here. */
import type { AffinityTools, AffinityType, AffinityView, BuiltAffinity } from './contract.ts'
import { existingCookie } from './existing-cookie.ts'
import { FallbackAffinity } from './fallback.ts'
import { header } from './header.ts'
import { ownCookie } from './own-cookie.ts'
import { rdpCookie } from './rdp.ts'
import { sourceIp } from './source-ip.ts'
import { tlsSession } from './tls-session.ts'

type Factory = (view: AffinityView, tools: AffinityTools) => BuiltAffinity

export const affinities: Readonly<Record<AffinityType, Factory>> = {
  'source-ip': sourceIp,
  header,
  cookie: (view, tools) => (view.mode === 'insert' ? ownCookie : existingCookie)(view, tools),
  'tls-session': tlsSession,
  'rdp-cookie': rdpCookie,
}

/** What a service is configured to have, its fallback behind it. */
export function createAffinity(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  const built = affinities[view.type](view, tools)
  if (view.fallback === 'none') return built
  return { ...built, affinity: new FallbackAffinity(built.affinity, sourceIp(view, tools).affinity) }
}

export type {
  AffinityTools,
  AffinityType,
  AffinityView,
  BuiltAffinity,
  HttpSide,
  StreamSide,
  StreamWatch,
} from './contract.ts'
export { identityOf } from './identity.ts'
