/** Declares the options of HTTP/2, with clients and with backends. */
import { z } from 'zod'
import { size } from './scalars.ts'

export const http2 = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Offer HTTP/2 beside HTTP/1.1 to clients of `https` (ALPN). Only with `engine: native`.'),
    cleartext: z
      .boolean()
      .default(false)
      .describe(
        'Accept HTTP/2 from clients of `http` that begin with its preface (prior knowledge). Never by `Upgrade: h2c`.',
      ),
    maxStreams: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('Requests of a connection in progress at once; more are refused, and may be sent again.'),
    streamWindow: size({ min: 65_535, max: 16 * 1024 ** 2 })
      .prefault('64KiB')
      .describe('Bytes of a request body that a client may send before its backend takes them. For each stream.'),
    connectionWindow: size({ min: 65_535, max: 256 * 1024 ** 2 })
      .prefault('1MiB')
      .describe('The same on the way to us, for all streams of a connection together.'),
    headerTable: size({ min: 0, max: 16 * 1024 })
      .prefault('4KiB')
      .describe('Size of the table by which clients abbreviate fields (HPACK). Memory per connection: twice as much.'),
    maxContinuations: z
      .int()
      .min(0)
      .max(1000)
      .default(32)
      .describe('CONTINUATION frames of a head; with more the connection ends.'),
    frameBudget: z
      .int()
      .min(100)
      .max(10_000_000)
      .default(2000)
      .describe(
        'Frames a second that move nothing: settings, pings, priorities, window updates, empty data, continuations, and with ' +
          'tenfold weight resets of either side, fortyfold those that come together with their request. With more the connection ends. Content of 256 bytes and more, and answers, give three back each.',
      ),
  })
  .prefault({})
  .describe('HTTP/2 with clients.')

export const backendHttp2 = z
  .strictObject({
    maxStreams: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe(
        'Requests of a connection in progress at once, if the backend takes so many (its SETTINGS_MAX_CONCURRENT_STREAMS); ' +
          'for more, further connections are made.',
      ),
    streamWindow: size({ min: 65_535, max: 16 * 1024 ** 2 })
      .prefault('256KiB')
      .describe(
        'Bytes of an answer that a backend may send before its client takes them. For each request in progress.',
      ),
  })
  .prefault({})
  .describe('HTTP/2 with backends whose `backendProtocol` is `h2` or `h2c`.')
