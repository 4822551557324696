/** The scalar types of the configuration: durations, sizes, percentages, status lists, addresses. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { type AddressRange, durationOf, parseAddressRange } from '../core/index.ts'

const UNIT_BYTES: Record<string, number> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** `500ms`, `2s`, `1.5m`, `1h`, or plain 0. Value in milliseconds. */
export const duration = (options: { min?: string } = {}) =>
  z
    .union([z.string(), z.number()], { error: 'expected a duration such as 500ms, 2s, 5m or 1h' })
    .transform((value, context) => {
      const ms = durationOf(value)
      const minimum = options.min === undefined ? 0 : (durationOf(options.min) as number)
      if (typeof ms === 'string') context.addIssue({ code: 'custom', message: ms })
      else if (ms < minimum)
        context.addIssue({ code: 'custom', message: `${value} is below the least value, ${options.min}` })
      else return ms
      return z.NEVER
    })
    .meta({
      kind: 'duration',
      anyOf: [{ type: 'string', pattern: '^(0|\\d+(\\.\\d+)?(ms|s|m|h))$' }, { const: 0 }],
      samples: ['500ms', '2s', '5m', '1h'],
    })

/** `16KiB`, `1MiB`, or a number of bytes. Value in bytes. */
export const size = (options: { min?: number; max?: number } = {}) =>
  z
    .union([z.string(), z.number()], { error: 'expected a size such as 16KiB or 1MiB' })
    .transform((value, context) => {
      const match = /^(\d+)(B|KiB|MiB|GiB)?$/.exec(String(value))
      if (match === null) {
        const hint = /^\d+ ?[kKmMgG]B?$/.test(String(value)) ? '; units are KiB, MiB and GiB' : '; write 16KiB or 1MiB'
        context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is not a size${hint}` })
        return z.NEVER
      }
      const bytes = Number(match[1]) * (UNIT_BYTES[match[2] ?? ''] ?? 1)
      if (bytes < (options.min ?? 0))
        context.addIssue({ code: 'custom', message: `${value} is below the least value, ${options.min} bytes` })
      if (bytes > (options.max ?? Number.MAX_SAFE_INTEGER))
        context.addIssue({ code: 'custom', message: `${value} is above the greatest value, ${options.max} bytes` })
      return bytes
    })
    .meta({
      kind: 'size',
      anyOf: [
        { type: 'string', pattern: '^\\d+(B|KiB|MiB|GiB)?$' },
        { type: 'integer', minimum: 0 },
      ],
      samples: ['8KiB', '1MiB'],
    })

/** `5%`, or a fraction such as 0.05. Value as a fraction 0..1. */
export const percentage = () =>
  z
    .union([z.string(), z.number()], { error: 'expected a percentage such as 5%' })
    .transform((value, context) => {
      const match = /^(\d+(?:\.\d+)?)%$/.exec(String(value))
      const plain = /^\d*\.?\d+$/.test(String(value)) ? Number(value) : Number.NaN
      const fraction = match === null ? plain : Number(match[1]) / 100
      if (fraction >= 0 && fraction <= 1) return fraction
      context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is not a percentage from 0% to 100%` })
      return z.NEVER
    })
    .meta({
      kind: 'percentage',
      anyOf: [
        { type: 'string', pattern: '^\\d+(\\.\\d+)?%$' },
        { type: 'number', minimum: 0, maximum: 1 },
      ],
      samples: ['5%'],
    })

const PER_SECOND: Record<string, number> = { s: 1, m: 60, h: 3600 }

/** `100/s`, `30/m`, `1000/h`. Value per second. */
export const rate = (options: { min: number; max: number }) =>
  z
    .string({ error: 'expected a rate such as 100/s, 30/m or 1000/h' })
    .transform((text, context) => {
      const match = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(text)
      const value = Number(match?.[1]) / (PER_SECOND[match?.[2] ?? ''] ?? 1)
      if (match === null)
        context.addIssue({
          code: 'custom',
          message: `${JSON.stringify(text)} is not a rate; write 100/s, 30/m or 1000/h`,
        })
      else if (value < options.min)
        context.addIssue({ code: 'custom', message: `${text} is below the least value, ${options.min}/s` })
      else if (value > options.max)
        context.addIssue({ code: 'custom', message: `${text} is above the greatest value, ${options.max}/s` })
      else return value
      return z.NEVER
    })
    .meta({
      kind: 'rate',
      anyOf: [{ type: 'string', pattern: '^\\d+(\\.\\d+)?/(s|m|h)$' }],
      samples: ['100/s', '30/m'],
    })

/** `200-399`, `200,204`, `[200, "300-308"]`. Value: inclusive ranges. */
export const statusList = () =>
  z
    .union([z.string(), z.number(), z.array(z.union([z.string(), z.number()]))], {
      error: 'expected status codes such as 200-399 or [200, 204]',
    })
    .transform((value, context) => {
      const parts = (Array.isArray(value) ? value : String(value).split(',')).map((part) => String(part).trim())
      if (parts.length === 0) context.addIssue({ code: 'custom', message: 'names no status code; write 200-399' })
      const ranges: (readonly [number, number])[] = []
      for (const part of parts) {
        const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(part)
        if (match === null)
          context.addIssue({
            code: 'custom',
            message: `${JSON.stringify(part)} is not a status code or range; write 200 or 200-399`,
          })
        else if (Number(match[2] ?? match[1]) < Number(match[1]))
          context.addIssue({ code: 'custom', message: `the range ${part} runs backwards` })
        else ranges.push([Number(match[1]), Number(match[2] ?? match[1])])
      }
      return ranges
    })
    .meta({ kind: 'status codes', samples: ['200-399'] })

/** `address:port` or `address:first-last`. */
export const listenAddress = () =>
  z
    .string({ error: 'expected an address and port such as "0.0.0.0:80"' })
    .transform((text, context): AddressRange => {
      const range = parseAddressRange(text)
      if (typeof range !== 'string') return range
      context.addIssue({ code: 'custom', message: range })
      return z.NEVER
    })
    .meta({ kind: 'address:port', samples: ['0.0.0.0:80', '[::]:443', '10.0.0.1:8000-8010'] })

/** `address:port` of a backend: one port, not 0. */
export const backendAddress = () =>
  z
    .string({ error: 'expected an address and port such as 10.0.0.11:8080' })
    .transform((text, context) => {
      const range = parseAddressRange(text)
      const problem =
        typeof range === 'string'
          ? range
          : range.first !== range.last
            ? 'a backend has one port'
            : range.first === 0
              ? 'port 0 is not a port to connect to'
              : undefined
      if (problem === undefined && typeof range !== 'string') return { host: range.host, port: range.first }
      context.addIssue({ code: 'custom', message: problem ?? '' })
      return z.NEVER
    })
    .meta({ kind: 'address:port', samples: ['10.0.0.11:8080', '[2001:db8::1]:80'] })

/** `10.0.0.0/8`, `2001:db8::/32`, or a single address. */
export const cidr = () =>
  z
    .string()
    .refine((text) => {
      const [address = '', bits, more] = text.split('/')
      const kind = isIP(address)
      return (
        kind !== 0 &&
        more === undefined &&
        (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (kind === 4 ? 32 : 128)))
      )
    }, 'is not an address or CIDR block; write 10.0.0.0/8 or 2001:db8::/32')
    .meta({ kind: 'CIDR', samples: ['10.0.0.0/8', '2001:db8::/32'] })

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
export const name = () =>
  z
    .string()
    .regex(NAME, 'a name has letters, digits, ".", "_" and "-", starts with a letter or digit, and is at most 63 long')
