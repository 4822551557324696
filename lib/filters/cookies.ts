/** Changes the attributes of the cookies that a backend sets. RFC 6265 §5.2; one that can't be read is left alone. */
import type { Filter, ResponseView } from './contract.ts'
import { swapPrefix } from './prefix.ts'

export interface CookieOptions {
  /** Of the cookies meant. Default: all. */
  readonly names?: readonly string[] | undefined
  /** Adds Secure. */
  readonly secure: boolean
  /** Adds HttpOnly. */
  readonly httpOnly: boolean
  /** Sets SameSite, whatever it was. */
  readonly sameSite?: 'Strict' | 'Lax' | 'None' | undefined
  /** A Domain `from` becomes `to`; '': the attribute goes, and the cookie is for the client's host alone. */
  readonly domain?: { readonly from: string; readonly to: string } | undefined
  /** A Path with the prefix `from` gets `to` instead. */
  readonly path?: { readonly from: string; readonly to: string } | undefined
}

export function cookies(options: CookieOptions): Filter {
  const names = options.names === undefined ? null : new Set(options.names)
  return {
    onResponse({ fields }: ResponseView): void {
      fields.update('Set-Cookie', (cookie) => rewriteCookie(cookie, options, names))
    },
  }
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 6265 §4.1.1

function rewriteCookie(cookie: string, options: CookieOptions, names: ReadonlySet<string> | null): string {
  const [pair = '', ...attributes] = cookie.split(';')
  const name = pair.slice(0, Math.max(pair.indexOf('='), 0)).trim()
  if (!NAME.test(name) || names?.has(name) === false) return cookie
  // The prefix is the browser's promise that there is no Domain and that Path is / (RFC 6265bis §4.1.3).
  const pinned = name.toLowerCase().startsWith('__host-')
  let out = pair
  let secure = false
  let httpOnly = false
  for (const attribute of attributes) {
    const equals = attribute.indexOf('=')
    const key = (equals < 0 ? attribute : attribute.slice(0, equals)).trim().toLowerCase()
    const value = equals < 0 ? '' : attribute.slice(equals + 1).trim()
    if (key === 'secure') secure = true
    else if (key === 'httponly') httpOnly = true
    if (key === 'samesite' && options.sameSite !== undefined) continue
    if (key === 'domain' && !pinned) out += domainOf(attribute, value, options.domain)
    else if (key === 'path' && !pinned) out += pathOf(attribute, value, options.path)
    else out += `;${attribute}`
  }
  if (options.secure && !secure) out += '; Secure'
  if (options.httpOnly && !httpOnly) out += '; HttpOnly'
  return options.sameSite === undefined ? out : `${out}; SameSite=${options.sameSite}`
}

function domainOf(attribute: string, value: string, change: CookieOptions['domain']): string {
  if (change === undefined || bareDomain(value) !== bareDomain(change.from)) return `;${attribute}`
  return change.to === '' ? '' : `; Domain=${change.to}`
}

/** A leading dot means nothing (RFC 6265 §5.2.3). */
const bareDomain = (domain: string): string => domain.toLowerCase().replace(/^\./, '')

function pathOf(attribute: string, value: string, change: CookieOptions['path']): string {
  const path = change === undefined ? undefined : swapPrefix(value, change.from, change.to)
  return path === undefined ? `;${attribute}` : `; Path=${path}`
}
