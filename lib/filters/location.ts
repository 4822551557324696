/** Turns the URLs of a backend in Location, Content-Location and Refresh into those that its clients know. */
import type { Filter, RequestView, ResponseView } from './contract.ts'
import { swapPrefix } from './prefix.ts'
import { defaultPort, isHostName, readAuthority } from './views.ts'

export interface LocationOptions {
  /** Hosts, with a port or for any port, that stand for the service, beside the address of the backend itself. */
  readonly hosts: readonly string[]
  /** The first whose `from` is a prefix of the path counts. */
  readonly paths: readonly { readonly from: string; readonly to: string }[]
}

export function rewriteLocation({ hosts, paths }: LocationOptions): Filter {
  const known = new Set(hosts.map((host) => host.toLowerCase()))
  return {
    onResponse(response: ResponseView): void {
      const change = (url: string): string => rewriteUrl(url, response, known, paths)
      response.fields.update('Location', change)
      response.fields.update('Content-Location', change)
      response.fields.update('Refresh', (value) => rewriteRefresh(value, change))
    },
  }
}

/** `5; url=http://…`: what stands before the URL, an opening quote included, the URL, and what ends the quote. */
const REFRESH = /^([\t ]*\d{1,10}(?:\.\d{0,10})?[\t ]*[;,][\t ]*(?:url[\t ]*=[\t ]*)?(["']?))(.*)$/i

function rewriteRefresh(value: string, change: (url: string) => string): string {
  const match = REFRESH.exec(value)
  if (match === null) return value
  const [, before = '', quote = '', rest = ''] = match
  const end = quote === '' ? rest.length : rest.indexOf(quote)
  return end < 0 ? value : before + change(rest.slice(0, end)) + rest.slice(end)
}

const ABSOLUTE = /^(?:(https?):)?\/\/([^/?#\\]*)(.*)$/i

function rewriteUrl(
  url: string,
  { request, backend }: ResponseView,
  known: ReadonlySet<string>,
  paths: LocationOptions['paths'],
): string {
  const match = ABSOLUTE.exec(url)
  if (match === null) {
    if (!url.startsWith('/')) return url // relative to what the client asked for, or with a scheme that is none of ours
    const mapped = mapPath(url, paths)
    return mapped === url ? url : pathReference(mapped)
  }
  const [, scheme = '', authority = '', rest = ''] = match
  if (rest.startsWith('\\') || !isOurs(scheme, authority, request, backend, known)) return url
  const mapped = mapPath(rest === '' || rest.startsWith('/') ? rest : `/${rest}`, paths)
  if (!isHostName(request.host)) return pathReference(mapped === '' ? '/' : mapped)
  return `${request.scheme}://${request.host}${portSuffix(request.port, request.scheme)}${mapped}`
}

/** Does the authority stand for this service? Anything else is another site, and stays. */
function isOurs(
  scheme: string,
  authority: string,
  request: RequestView,
  backend: string,
  known: ReadonlySet<string>,
): boolean {
  if (!AUTHORITY.test(authority)) return false
  const kind = (scheme === '' ? request.scheme : scheme.toLowerCase()) === 'https' ? 'https' : 'http'
  const { host, port } = readAuthority(authority, kind)
  const named = `${host}:${port}`
  if (named === backend || known.has(host) || known.has(named)) return true
  if (host !== request.host) return false
  // The client's own host: the backend can't know that TLS ends here. A redirect from http to https, or to another
  // port, is one that the backend means.
  if (kind === request.scheme) return port === request.port
  return kind === 'http' && (port === defaultPort(kind) || port === request.port)
}

const AUTHORITY = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/

function mapPath(rest: string, paths: LocationOptions['paths']): string {
  if (paths.length === 0) return rest
  const end = rest.search(/[?#]/)
  const path = (end < 0 ? rest : rest.slice(0, end)) || '/'
  for (const { from, to } of paths) {
    const mapped = swapPrefix(path, from, to)
    if (mapped !== undefined) return end < 0 ? mapped : mapped + rest.slice(end)
  }
  return rest
}

/** A path as a reference of its own: one that starts with two slashes would name a host (RFC 3986 §4.2; `\` to a browser is one). */
export const pathReference = (path: string): string => (/^\/[/\\]/.test(path) ? `/.${path}` : path)

export const portSuffix = (port: number, scheme: 'http' | 'https'): string =>
  port === defaultPort(scheme) ? '' : `:${port}`
