/** Sends the client to another scheme, host, port or path; never to a host that is neither configured nor well-formed. */
import { asCanonical, compileHosts } from './conditions.ts'
import type { Filter, Reply, RequestView } from './contract.ts'
import { pathReference, portSuffix } from './location.ts'
import { replyOf } from './refusal.ts'
import { defaultPort, isHostName } from './views.ts'

export interface RedirectOptions {
  readonly status: 301 | 302 | 303 | 307 | 308
  readonly scheme?: 'http' | 'https' | undefined
  readonly host?: string | undefined
  /** Where there is no `host`, the request's own is used: only these, or with none given any well-formed one. */
  readonly hosts?: readonly string[] | undefined
  /** Default: that of the scheme; the request's where neither scheme nor host change. */
  readonly port?: number | undefined
  /** Default: the request's. */
  readonly path?: string | undefined
  readonly query: 'keep' | 'drop'
}

const MISDIRECTED = replyOf({ status: 421, detail: 'the host is not served here' })

export function redirect(options: RedirectOptions): Filter {
  const { status } = options
  const newPath = options.path === undefined ? undefined : asCanonical(options.path)
  const served = options.hosts === undefined ? isHostName : compileHosts(options.hosts)
  const inPlace = options.scheme === undefined && options.host === undefined && options.port === undefined
  return {
    onRequest(request: RequestView): Reply | undefined {
      if (request.path === '*') return undefined
      const path = newPath ?? request.path
      const query = options.query === 'keep' ? request.query : ''
      const scheme = options.scheme ?? request.scheme
      const host = options.host ?? request.host
      const moved = scheme !== request.scheme || host !== request.host
      const port = options.port ?? (moved ? defaultPort(scheme) : request.port)
      // What leads to itself would lead there for ever.
      if (!moved && port === request.port && path === request.path && query === request.query) return undefined
      if (inPlace) return replyTo(status, pathReference(path) + query)
      if (options.host === undefined && !(isHostName(host) && served(host))) return MISDIRECTED
      return replyTo(status, `${scheme}://${host}${portSuffix(port, scheme)}${path}${query}`)
    },
  }
}

const replyTo = (status: number, location: string): Reply => ({
  status,
  fields: [['Location', location]],
  body: '',
  detail: null,
})
