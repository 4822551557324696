/** Declares the options that bound what clients may use: connections, requests, slowness, and the appliance's own means. */
import { z } from 'zod'
import { duration, percentage, rate, size } from './scalars.ts'

const MOST_PER_CLIENT = 65_000 // the table of clients counts up to 65,535

export const limits = z.strictObject({
  connections: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(100_000)
    .describe('Open client connections of the service over all listeners; more are refused. 0: no limit.'),
  connectionsPerListener: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(0)
    .describe('The same for each listener. 0: no limit.'),
  connectionsPerClient: z
    .int()
    .min(0)
    .max(MOST_PER_CLIENT)
    .default(0)
    .describe(
      'The same for each client address (an IPv6 /64 is one client). 0: no limit, because an office, a mobile network or a ' +
        'load balancer in front can be one address. Peers in `http.trustedProxies` are not limited.',
    ),
  handshakes: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(1024)
    .describe(
      'TLS handshakes under way at once in each data thread; more clients wait, at most for `timeouts.handshake`. 0: no limit.',
    ),
  requestsPerClient: z
    .strictObject({
      rate: rate({ min: 0.01, max: 1_000_000 }).describe('Requests of one client that go on in the long run.'),
      burst: z
        .int()
        .min(1)
        .max(1_000_000)
        .optional()
        .describe('Requests that may come at once. Default: what the rate allows in two seconds, at least 1.'),
    })
    .optional()
    .describe(
      'More are answered with 429 and Retry-After, before any backend is asked. Behind `http.trustedProxies` the client is the ' +
        'one that they name. Default: no limit.',
    ),
  bodyRate: z
    .strictObject({
      rate: size({ max: 1024 ** 3 })
        .prefault('240B')
        .describe('Bytes a second that a request body must bring on average; less is answered with 408. 0: no limit.'),
      grace: duration({ min: '100ms' })
        .prefault('30s')
        .describe('Time after which it is looked at. Only time in which we wait for the client counts.'),
    })
    .prefault({})
    .describe('Against bodies that trickle in. It ends with the beginning of the answer.'),
  pipelined: size({ min: 1024 })
    .prefault('64KiB')
    .describe(
      'Bytes of further requests that are kept while one is answered. With more the connection closes after that answer.',
    ),
})

export const overload = z.strictObject({
  memory: percentage()
    .prefault('80%')
    .describe(
      'Share of the memory (of the control group, else of the machine) in use by this process, above which connections ' +
        'are refused until it is a tenth lower. 100%: never.',
    ),
  descriptors: percentage()
    .prefault('90%')
    .describe('The same for open files and connections, of those that the process may have.'),
  connections: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(0)
    .describe(
      'Open client connections of all services at which further ones are refused until there are a tenth less. 0: no limit.',
    ),
  delay: duration()
    .prefault('500ms')
    .describe(
      'A data thread whose event loop is late by more, three times in a row, answers new requests with 503 and Retry-After, and refuses ' +
        'connections, until it has been late by less than half of it for a second. 0: never.',
    ),
})
