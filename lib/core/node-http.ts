/**
 * node:http for what always runs. An import reads every export there is, one of which is WebSocket, and that loads node's
 * own undici: 40 ms and 13 MB in each thread. Asked for by name it costs a tenth.
 */
import { createRequire } from 'node:module'

const http = createRequire(import.meta.url)('node:http') as typeof import('node:http')

export const { STATUS_CODES, createServer, request } = http
