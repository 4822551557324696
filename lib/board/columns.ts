/** What is counted, by name: the closed lists behind every counter on the board. Their order is the layout. */

/** Status classes of an answer; `0` stands for none (the flow ended before one, or has none as TCP). */
export const CODE_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const

/** Why a request or flow did not end well. */
export const REASONS = [
  'bad-request',
  'too-large',
  'refused',
  'client-timeout',
  'client-closed',
  'no-backend',
  'connect-failed',
  'connect-timeout',
  'backend-closed',
  'backend-timeout',
  'bad-response',
  'truncated-response',
  'cut',
  'internal',
  'proxy-protocol',
  'limit-connections',
  'limit-rate',
  'limit-body-rate',
  'overload',
  'no-route',
  'queue-full',
  'queue-timeout',
] as const
export type Reason = (typeof REASONS)[number]

/** What can be short, so that what is new is refused for a while. `delay` is each data thread's own affair. */
export const OVERLOADS = ['memory', 'descriptors', 'connections', 'delay'] as const
export type Overload = (typeof OVERLOADS)[number]

/** Why a flow was tried again. */
export const RETRY_REASONS = ['connect-failed', 'connect-timeout', 'stale-connection', 'backend-closed'] as const
export type RetryReason = (typeof RETRY_REASONS)[number]

/** Why a TLS handshake with a client failed. */
export const HANDSHAKE_FAILURES = ['timeout', 'closed', 'protocol', 'name', 'certificate'] as const
export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number]

/** Successful handshakes: version and whether a session was resumed. */
export const HANDSHAKES = ['TLSv1.2', 'TLSv1.3', 'TLSv1.2 resumed', 'TLSv1.3 resumed'] as const

/** What became of looking for the backend that a client is kept on. `broken`: it may not serve the client any more. */
export const AFFINITY_RESULTS = ['hit', 'miss', 'broken'] as const
export type AffinityResult = (typeof AFFINITY_RESULTS)[number]

/** Why we ended an HTTP/2 connection with an error (RFC 9113 §7), in the order of their numbers. */
export const HTTP2_ERRORS = [
  'no-error',
  'protocol-error',
  'internal-error',
  'flow-control-error',
  'settings-timeout',
  'stream-closed',
  'frame-size-error',
  'refused-stream',
  'cancel',
  'compression-error',
  'connect-error',
  'enhance-your-calm',
] as const

/** Who reset an HTTP/2 stream. */
export const HTTP2_RESETS = ['client', 'us'] as const
export type Http2Reset = (typeof HTTP2_RESETS)[number]

/** Upper bounds of histogram buckets, seconds; one more bucket counts what is above the last. */
export const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const
const BUCKETS_MS = BUCKETS.map((s) => s * 1000)
export const HISTOGRAM_COLUMNS = BUCKETS.length + 2 // buckets, overflow, sum in seconds

/** Adds one observation of `ms` to the histogram that starts at `base`. */
export function observe(cells: Float64Array, base: number, ms: number): void {
  let i = 0
  while (i < BUCKETS_MS.length && ms > (BUCKETS_MS[i] as number)) i++
  cells[base + i] = (cells[base + i] as number) + 1
  const sum = base + BUCKETS.length + 1
  cells[sum] = (cells[sum] as number) + ms / 1000
}

/** Lays named groups of columns one after the other. */
function columns<Name extends string>(groups: Record<Name, number>): { at: Record<Name, number>; width: number } {
  const at: Partial<Record<Name, number>> = {}
  let width = 0
  for (const [name, count] of Object.entries<number>(groups)) {
    at[name as Name] = width
    width += count
  }
  return { at: at as Record<Name, number>, width }
}

/** Per service and thread. */
export const SERVICE = columns({
  requests: CODE_CLASSES.length,
  errors: REASONS.length,
  retries: RETRY_REASONS.length,
  retriesDenied: 1,
  handshakes: HANDSHAKES.length,
  handshakeFailures: HANDSHAKE_FAILURES.length,
  clientsUnknown: 1,
  affinity: AFFINITY_RESULTS.length,
  affinityEvicted: 1,
  bytesIn: 1,
  bytesOut: 1,
  compressionIn: 1,
  compressionOut: 1,
  http2Errors: HTTP2_ERRORS.length,
  http2Resets: HTTP2_RESETS.length,
  duration: HISTOGRAM_COLUMNS,
})

/** Per listener and thread. */
export const LISTENER = columns({ connections: 1 })

/** Per backend and thread. */
export const BACKEND = columns({
  requests: CODE_CLASSES.length,
  connectFailures: 1,
  cuts: 1,
  response: HISTOGRAM_COLUMNS,
  connect: HISTOGRAM_COLUMNS,
})
