/** What a TLS socket tells of its client, and its hard end: for the wires that are made of one. */
import type { X509Certificate } from 'node:crypto'
import { isIP, type Socket } from 'node:net'
import { constants } from 'node:os'
import type { TLSSocket } from 'node:tls'
import type { TcpHandle } from '../core/index.ts'

const UV_ENOTCONN = -constants.errno.ENOTCONN

/** The name that was asked for; ''. The types leave out that it is `false` without one. */
export const serverNameOf = ({ servername }: TLSSocket): string => (servername as string | false | null) || ''

/** What ALPN agreed on; ''. */
export const protocolOf = ({ alpnProtocol }: TLSSocket): string => alpnProtocol || ''

/** Does the certificate that was shown hold for this authority? */
export function certificateCovers(socket: TLSSocket, authority: string): boolean {
  return covers(socket.getX509Certificate(), authority)
}

export function covers(certificate: X509Certificate | undefined, authority: string): boolean {
  if (certificate === undefined) return true
  const host = authority.replace(/:\d*$/, '').replace(/^\[|\]$/g, '')
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined
}

/**
 * The connection was reset, though its end is all that a read tells. When what node's TLS sends by itself (tickets behind a handshake)
 * meets the reset, it swallows the error, and never completes a write again (seen with node 24.21): the peer's name tells.
 * Only before our own end has been sent: behind both ends a connection has no peer either.
 */
export function wasReset(raw: Socket): boolean {
  const handle = Reflect.get(raw, '_handle') as Partial<Named> | null
  return typeof handle?.getpeername === 'function' && isAlone(handle as Named)
}

type Named = Pick<TcpHandle, 'getpeername'>

/** It has no peer (any more). */
export const isAlone = (handle: Named): boolean => handle.getpeername({}) === UV_ENOTCONN

/**
 * Ends both by RST, unless the end is on its way (`shutting`): a reset would fail then, and leave the handle open for good. Never
 * inside of a callback of TLS: it crashes when the handle below it is closed meanwhile (seen with node 24.21).
 */
export function cutSecure(socket: Socket, raw: Socket, shutting: boolean): void {
  if (!shutting) raw.resetAndDestroy()
  socket.destroy()
}
