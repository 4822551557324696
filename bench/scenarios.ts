/** What is measured: the scenarios and the load of each. */

/** The way into a balancer: its HTTP service or its TCP relay. */
export type Listener = 'http' | 'tcp'

export interface Scenario {
  readonly name: string
  /** What a reader of the report needs to know. */
  readonly about: string
  readonly listener: Listener
  readonly path: string
  readonly connections: number
  /** Fields that the load generator adds to each request. */
  readonly fields: readonly string[]
  /** `browser`: a browser's fields, with cookies that differ from request to request. */
  readonly requests: 'same' | 'browser'
}

/** Whether bench/paced.ts can drive it: the same request again and again on connections that stay. */
export const isPaced = ({ requests, fields }: Scenario): boolean => requests === 'same' && fields.length === 0

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'http-1k',
    about: 'HTTP, keep-alive, 1 KiB bodies, 64 connections',
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: [],
    requests: 'same',
  },
  {
    name: 'http-browser',
    about: "HTTP, keep-alive, 1 KiB bodies, 64 connections, a browser's 15 fields with cookies that always differ",
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: [],
    requests: 'browser',
  },
  {
    name: 'http-close',
    about: 'HTTP, a new client connection for each request, 1 KiB bodies, 64 at a time',
    listener: 'http',
    path: '/1k',
    connections: 64,
    fields: ['Connection: close'],
    requests: 'same',
  },
  {
    name: 'http-1m',
    about: 'HTTP, keep-alive, 1 MiB bodies, 16 connections',
    listener: 'http',
    path: '/1m',
    connections: 16,
    fields: [],
    requests: 'same',
  },
  {
    name: 'tcp',
    about: 'TCP relay with keep-alive requests of 1 KiB bodies through it, 64 connections',
    listener: 'tcp',
    path: '/1k',
    connections: 64,
    fields: [],
    requests: 'same',
  },
]
