/** What rules look at, as options: hosts, paths, methods, patterns, header fields. Filters, routes and answers are made of them. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { checkPattern } from './patterns.ts'

export const MAX_LIST = 256 // of names, rules, conditions: more belongs into an application

/** Fields that belong to one hop or frame the body: they are the balancer's own business. */
const OWN_FIELDS =
  /^(?:connection|keep-alive|proxy-connection|proxy-authenticate|proxy-authorization|te|trailer|transfer-encoding|upgrade|content-length|expect)$/i

export const fieldName = (more: { host: boolean }) =>
  z
    .string()
    .max(256)
    .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'is not a valid header name')
    .refine((name) => !OWN_FIELDS.test(name.replaceAll('_', '-')), 'is a field of one hop, which no filter may touch')
    .refine((name) => more.host || !/^host$/i.test(name), 'is a field that can only be set, not added or removed')

export const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/ // RFC 9110 §5.5

export const HOST = '[A-Za-z0-9_](?:[A-Za-z0-9_-]|\\.(?!\\.|$))*|\\[[0-9A-Fa-f:.]+\\]'
export const hostName = () =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^(?:${HOST})$`), 'is not a host name or address; write shop.example, 10.0.0.1 or "[::1]"')
export const hostPattern = () =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^(?:\\*\\.)?(?:${HOST})$`), 'is not a host; write shop.example, or *.example for all below it')
    .meta({ kind: 'host', samples: ['shop.example', '*.shop.example'] })
export const hostAndPort = () =>
  z
    .string()
    .max(259)
    .regex(new RegExp(`^(?:${HOST})(?::\\d{1,5})?$`), 'is not a host; write app.internal or app.internal:8080')

/** Well-formed, and nothing in it that the reading of paths would change or refuse. */
export const path = () =>
  z
    .string()
    .max(2048)
    .regex(/^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/, 'is not a path; it starts with / and has no spaces, ? and #')
    .refine((text) => !/%(?![0-9A-Fa-f]{2})/.test(text), 'has a malformed %')
    .refine((text) => !/\/\/|\/(?:\.|%2e){1,2}(?:\/|;|$)/i.test(text), 'has an empty segment or a dot segment')
    .meta({ kind: 'path', samples: ['/shop'] })

export const pattern = () =>
  z
    .string()
    .superRefine((text, context) => {
      const found = checkPattern(text)
      if (typeof found === 'string') context.addIssue({ code: 'custom', message: found })
    })
    .meta({ kind: 'regular expression', samples: ['^/user/([^/]+)$'] })

export const method = () => z.string().regex(/^[A-Z][A-Z0-9_-]{0,31}$/, 'is not a method; write GET')

/** One value or several. */
export const oneOrMore = <Item extends z.ZodType>(item: Item, error: string) =>
  z
    .union([item, z.array(item).min(1, 'at least one is needed').max(MAX_LIST)], { error })
    .transform((value): z.output<Item>[] => (Array.isArray(value) ? value : [value]) as z.output<Item>[])

/** Exactly one of the keys that are there to choose from. */
export const oneOf =
  (keys: readonly string[]) =>
  (value: object, context: z.RefinementCtx): void => {
    const found = keys.filter((key) => (value as Record<string, unknown>)[key] !== undefined)
    if (found.length === 1) return
    const message =
      found.length === 0 ? `needs one of ${keys.join(', ')}` : `has ${found.join(' and ')}, and may have one of them`
    context.addIssue({ code: 'custom', message })
  }

const pathObject = z
  .strictObject({
    exact: path().optional().describe('This path and no other.'),
    prefix: path().optional().describe('This path and all below it: /shop and /shop/cart, not /shopping.'),
    regex: pattern().optional().describe('Tried from the start of the path; must run in linear time.'),
  })
  .superRefine(oneOf(['exact', 'prefix', 'regex']))
type PathObject = z.output<typeof pathObject>
const asObject = (value: string | PathObject): PathObject => (typeof value === 'string' ? { prefix: value } : value)

export const pathMatch = z
  .union([path(), pathObject], { error: 'expected a prefix such as /shop, or { exact, prefix or regex: … }' })
  .transform(asObject)
export const pathMatches = z
  .union([path(), pathObject, z.array(pathMatch).min(1, 'at least one is needed').max(MAX_LIST)], {
    error: 'expected a prefix such as /shop, { exact, prefix or regex: … }, or a list of those',
  })
  .transform((value): PathObject[] => (Array.isArray(value) ? value : [asObject(value)]))

export const hosts = () => oneOrMore(hostPattern(), 'expected a host or a list of hosts')
export const serverNames = () =>
  oneOrMore(
    hostPattern().refine(
      (name) => isIP(name.replace(/^\[|\]$/g, '')) === 0,
      'is an address; clients ask for names only',
    ),
    'expected a name or a list of names',
  )
export const methods = () => oneOrMore(method(), 'expected a method or a list of methods')
