/** What is measured: the scenarios and the load of each. */

/** The way into a balancer: its HTTP service, the same over TLS (HTTP/1.1 and HTTP/2 by ALPN), or its TCP relay. */
export type Listener = 'http' | 'https' | 'tcp'

/** What generates the load. */
export type Load =
  /** wrk; `browser`: a browser's fields, with cookies that differ from request to request. */
  | { readonly by: 'wrk'; readonly requests: 'same' | 'browser' }
  /** h2load, with so many streams at a time on each connection. */
  | { readonly by: 'h2load'; readonly streams: number }
  /** bench/handshakes.ts: a new TLS connection for each request. */
  | { readonly by: 'handshakes'; readonly resumed: boolean }

export interface Scenario {
  readonly name: string
  /** What a reader of the report needs to know. */
  readonly about: string
  readonly listener: Listener
  readonly path: string
  readonly connections: number
  /** Fields that the load generator adds to each request. */
  readonly fields: readonly string[]
  readonly load: Load
}

/** Whether bench/paced.ts can drive it: the same request again and again on connections that stay. */
export const isPaced = ({ load, fields, listener }: Scenario): boolean =>
  load.by === 'wrk' && load.requests === 'same' && fields.length === 0 && listener !== 'https'

const SAME: Load = { by: 'wrk', requests: 'same' }

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'http-1k',
    about: 'HTTP, keep-alive, 1 KiB bodies, 64 connections',
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: [],
    load: SAME,
  },
  {
    name: 'http-browser',
    about: "HTTP, keep-alive, 1 KiB bodies, 64 connections, a browser's 15 fields with cookies that always differ",
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: [],
    load: { by: 'wrk', requests: 'browser' },
  },
  {
    name: 'http-close',
    about: 'HTTP, a new client connection for each request, 1 KiB bodies, 64 at a time',
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: ['Connection: close'],
    load: SAME,
  },
  {
    name: 'http-1m',
    about: 'HTTP, keep-alive, 1 MiB bodies, 16 connections',
    listener: 'http',
    path: '/1m',
    connections: 16,
    fields: [],
    load: SAME,
  },
  {
    name: 'tcp',
    about: 'TCP relay with keep-alive requests of 1 KiB bodies through it, 64 connections',
    listener: 'tcp',
    path: '/1k',
    connections: 64,
    fields: [],
    load: SAME,
  },
  {
    name: 'https-1k',
    about: 'TLS 1.3, keep-alive, 1 KiB bodies, 64 connections',
    listener: 'https',
    path: '/1k',
    connections: 64,
    fields: [],
    load: SAME,
  },
  {
    name: 'tls-full',
    about: 'A full TLS 1.3 handshake (ECDSA P-256) for each request, 1 KiB bodies, 16 at a time',
    listener: 'https',
    path: '/1k',
    connections: 16,
    fields: [],
    load: { by: 'handshakes', resumed: false },
  },
  {
    name: 'tls-resumed',
    about: 'A resumed TLS 1.3 handshake for each request, 1 KiB bodies, 16 at a time',
    listener: 'https',
    path: '/1k',
    connections: 16,
    fields: [],
    load: { by: 'handshakes', resumed: true },
  },
  {
    name: 'http2',
    about: 'HTTP/2 over TLS, 1 KiB bodies, 32 connections with 8 streams each',
    listener: 'https',
    path: '/1k',
    connections: 32,
    fields: [],
    load: { by: 'h2load', streams: 8 },
  },
]
