/** Declares the options of compressed answers. */
import { z } from 'zod'
import { size } from './scalars.ts'

const ALGORITHMS = ['zstd', 'br', 'gzip'] as const

const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]*\/(?:\*|\*\+[a-z0-9!#$&^_.-]+|[a-z0-9][a-z0-9!#$&^_.+-]*)$/

const DEFAULT_TYPES = [
  'text/*',
  'application/*+json',
  'application/*+xml',
  'application/graphql',
  'application/javascript',
  'application/json',
  'application/ndjson',
  'application/vnd.ms-fontobject',
  'application/wasm',
  'application/x-javascript',
  'application/x-ndjson',
  'application/xml',
  'font/otf',
  'font/ttf',
  'image/bmp',
  'image/svg+xml',
  'image/x-icon',
]

const levels = z.strictObject({
  zstd: z.int().min(1).max(9).default(3).describe('Level of zstd.'),
  br: z.int().min(0).max(6).default(4).describe('Quality of br.'),
  gzip: z.int().min(1).max(9).default(5).describe('Level of gzip.'),
})

const options = z.strictObject({
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1, 'at least one algorithm is needed')
    .max(ALGORITHMS.length)
    .refine((list) => new Set(list).size === list.length, 'names an algorithm twice')
    .default([...ALGORITHMS])
    .describe('What is offered. The order decides where a client likes several equally well.'),
  types: z
    .array(
      z
        .string()
        .max(128)
        .transform((type) => type.toLowerCase())
        .refine((type) => MEDIA_TYPE.test(type), 'is not a media type; write text/html, text/* or application/*+json')
        .meta({ samples: ['text/html', 'text/*', 'application/*+json'] }),
    )
    .max(64)
    .prefault(DEFAULT_TYPES)
    .describe('Media types that are compressed. `text/event-stream` only where it is named itself.'),
  minSize: size({ min: 1 }).prefault('1KiB').describe('A body known to be shorter goes on as it is.'),
  levels: levels
    .prefault({})
    .describe(
      'Higher: smaller, and more processor time. An answer takes 0.5 to 1.5 MiB of memory meanwhile; with `br: 6` 3.5.',
    ),
  maxActive: z
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe(
      'Answers that a data thread compresses at once, which bounds the memory; further ones go on as they are.',
    ),
})

export const compression = z
  .union([z.literal(false), options], { error: 'expected false or { algorithms, types, minSize, … }' })
  .prefault(false)
  .describe('Compress what backends send plain. `false`: nothing is. `{}`: with the defaults. See docs/http.md.')
