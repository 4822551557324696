/** The opening handshake of a WebSocket, RFC 6455 §4.2. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 §1.3
const KEY = /^[A-Za-z0-9+/]{22}==$/ // 16 bytes in base64

export const isWebSocketUpgrade = (request: IncomingMessage): boolean =>
  (request.headers.upgrade ?? '').split(',').some((token) => token.trim().toLowerCase() === 'websocket')

/** The whole head of the answer, and whether the tunnel is open after it. */
export function answerHandshake(request: IncomingMessage, name: string): { accepted: boolean; head: string } {
  const key = request.headers['sec-websocket-key'] ?? ''
  if (!isWebSocketUpgrade(request)) return refusal('426 Upgrade Required', name, 'Upgrade: websocket\r\n')
  if (request.headers['sec-websocket-version'] !== '13')
    return refusal('426 Upgrade Required', name, 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n')
  if (request.method !== 'GET' || request.httpVersion !== '1.1' || !KEY.test(key))
    return refusal('400 Bad Request', name, '')
  const accept = createHash('sha1').update(key).update(GUID).digest('base64')
  const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Backend: ${name}\r\n\r\n`
  return { accepted: true, head }
}

const refusal = (status: string, name: string, fields: string): { accepted: false; head: string } => ({
  accepted: false,
  head: `HTTP/1.1 ${status}\r\n${fields}X-Backend: ${name}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
})
