/** Who may ask the admin listener: the token, and the two ways in which a browser is made to ask for someone else. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

export interface Refusal {
  readonly status: 401 | 403
  readonly error: string
  readonly message: string
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Does the request carry `token` (RFC 6750)? Takes the same time for every wrong one. */
export function carriesToken({ authorization = '' }: IncomingHttpHeaders, token: string): boolean {
  const given = /^bearer +(\S.*)$/i.exec(authorization)?.[1] ?? ''
  return timingSafeEqual(digest(given.trimEnd()), digest(token))
}

const MAX_OPERATOR = 128

/** Who asks, for the log: what the command says of its user, and where from. */
export function operatorOf({ 'x-evenkeel-operator': said }: IncomingHttpHeaders, peer: string): string {
  const from = peer.replace(/^::ffff:/, '')
  const name = typeof said === 'string' ? said.replace(/[^\x21-\x7e]/g, '').slice(0, MAX_OPERATOR) : ''
  return name === '' ? from : `${name} (${from})`
}

export interface Access {
  /** Of the configuration; '': none, and then only loopback is listened on. */
  readonly token: string
  /** It listens on a socket in the file system, which only our own user and group may use, and no browser can. */
  readonly own: boolean
}

export function refusalOf(method: string, headers: IncomingHttpHeaders, { token, own }: Access): Refusal | null {
  if (own) return null
  if (token !== '' && !carriesToken(headers, token)) {
    const message = 'the token is missing or wrong; send Authorization: Bearer TOKEN'
    return { status: 401, error: 'unauthorized', message }
  }
  // A name that an attacker's DNS answers with a loopback address (DNS rebinding). With a token a name is no way in.
  if (token === '' && !isOwnHost(headers.host)) {
    const message = 'Host is neither localhost nor an IP address; set admin.token to allow names'
    return { status: 403, error: 'host-refused', message }
  }
  if (method !== 'GET' && method !== 'HEAD' && isForeign(headers))
    return { status: 403, error: 'origin-refused', message: 'pages of other origins may not change anything here' }
  return null
}

/** HTTP/1.0 without Host is no browser. */
function isOwnHost(host: string | undefined): boolean {
  if (host === undefined) return true
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase() ?? ''
  return name === 'localhost' || (name.startsWith('[') ? isIP(name.slice(1, -1)) === 6 : isIP(name) === 4)
}

function isForeign({ host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase()}`
}
