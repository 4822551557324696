/** The static table of HPACK (RFC 7541 Appendix A). */

const ROWS: readonly (readonly [string, string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
]

/** Entries are numbered from 1. */
export const STATIC_ENTRIES = ROWS.length
export const STATIC_NAMES: readonly Buffer[] = [Buffer.alloc(0), ...ROWS.map(([name]) => Buffer.from(name))]
export const STATIC_VALUES: readonly Buffer[] = [Buffer.alloc(0), ...ROWS.map(([, value]) => Buffer.from(value))]

/** Statuses that have an entry. */
export const STATUS_ENTRY: ReadonlyMap<number, number> = new Map(
  ROWS.flatMap(([name, value], i) => (name === ':status' ? [[Number(value), i + 1] as const] : [])),
)

/** The first entry with each name. */
export const NAME_ENTRY: ReadonlyMap<string, number> = new Map(
  ROWS.map(([name], i) => [name, i + 1] as const).toReversed(),
)

/** Never in a table: many share a connection, and could tell from its size what another's secret begins with (RFC 7541 §7.1). */
const SENSITIVE = [
  'set-cookie',
  'cookie',
  'authorization',
  'proxy-authenticate',
  'proxy-authorization',
  'www-authenticate',
]
export const SENSITIVE_ENTRIES: ReadonlySet<number> = new Set(
  STATIC_NAMES.flatMap((name, i) => (SENSITIVE.includes(name.toString()) ? [i] : [])),
)
