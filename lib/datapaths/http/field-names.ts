/** Which fields an intermediary treats in a way of their own: the one table behind both engines. HTTP.md 9 and 10. */

/** Fields of one hop, never passed on as they came (RFC 9110 §7.6.1). Content-Length is written anew. */
export const HOP_BY_HOP_NAMES = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
] as const

/** What says who the client is: only a trusted proxy may. With them all of X-Forwarded-…, of which these are known. */
const REWRITTEN_NAMES = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-request-id',
] as const
/** Of those the ones that go on untouched behind a trusted proxy; the others are written anew. */
export const UNTOUCHED_NAMES = ['forwarded', 'x-real-ip'] as const
export const IDENTITY_NAMES = [...UNTOUCHED_NAMES, ...REWRITTEN_NAMES] as const
export const FORWARDED_PREFIX = 'x-forwarded-'
/** What says who the client is by its certificate. */
export const CERTIFICATE_PREFIX = 'x-forwarded-tls-client-'

/** What Connection can't nominate away (CVE-2021-33197), as it can't any field of identity. */
export const PROTECTED_NAMES = ['host', 'content-length', 'cookie', 'authorization', 'via'] as const

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/
/** A trusted proxy's request id is printable, and short enough to be one. */
export const isRequestId = (text: string): boolean => REQUEST_ID.test(text)
