/** What a TLS socket tells of its client, and its hard end: for the wires that are made of one. */
import { isIP, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/** The name that was asked for; ''. The types leave out that it is `false` without one. */
export const serverNameOf = ({ servername }: TLSSocket): string => (servername as string | false | null) || ''

/** What ALPN agreed on; ''. */
export const protocolOf = ({ alpnProtocol }: TLSSocket): string => alpnProtocol || ''

/** Does the certificate that was shown hold for this authority? */
export function certificateCovers(socket: TLSSocket, authority: string): boolean {
  const certificate = socket.getX509Certificate()
  if (certificate === undefined) return true
  const host = authority.replace(/:\d*$/, '').replace(/^\[|\]$/g, '')
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined
}

/**
 * Ends both by RST, unless the end is on its way (`shutting`): a reset would fail then, and leave the handle open for good. Never
 * inside of a callback of TLS: it crashes when the handle below it is closed meanwhile (seen with node 24.21).
 */
export function cutSecure(socket: Socket, raw: Socket, shutting: boolean): void {
  if (!shutting) raw.resetAndDestroy()
  socket.destroy()
}
