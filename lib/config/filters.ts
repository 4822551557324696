/** The options of filters, routes, pools and of how paths are read: the declaration, as in schema.ts. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { checkPattern } from './patterns.ts'
import { backendAddress, cidr } from './scalars.ts'

const MAX_LIST = 256 // of names, rules, conditions: more belongs into an application

/** Fields that belong to one hop or frame the body: they are the balancer's own business. */
const OWN_FIELDS =
  /^(?:connection|keep-alive|proxy-connection|proxy-authenticate|proxy-authorization|te|trailer|transfer-encoding|upgrade|content-length|expect)$/i

const fieldName = (more: { host: boolean }) =>
  z
    .string()
    .max(256)
    .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'is not a valid header name')
    .refine((name) => !OWN_FIELDS.test(name.replaceAll('_', '-')), 'is a field of one hop, which no filter may touch')
    .refine((name) => more.host || !/^host$/i.test(name), 'is a field that can only be set, not added or removed')

const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/ // RFC 9110 §5.5
const PLACEHOLDERS = ['{client}', '{host}', '{path}', '{scheme}', '{request-id}']
const template = () =>
  z
    .string()
    .max(8192)
    .regex(FIELD_VALUE, 'a header value has no line breaks or control characters')
    .superRefine((text, context) => {
      for (const [found] of text.matchAll(/\{[a-z-]+\}/g))
        if (!PLACEHOLDERS.includes(found))
          context.addIssue({ code: 'custom', message: `has the unknown placeholder ${found}; known: ${PLACEHOLDERS}` })
    })

const HOST = '[A-Za-z0-9_](?:[A-Za-z0-9_-]|\\.(?!\\.|$))*|\\[[0-9A-Fa-f:.]+\\]'
const hostName = () =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^(?:${HOST})$`), 'is not a host name or address; write shop.example, 10.0.0.1 or "[::1]"')
const hostPattern = () =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^(?:\\*\\.)?(?:${HOST})$`), 'is not a host; write shop.example, or *.example for all below it')
    .meta({ kind: 'host', samples: ['shop.example', '*.shop.example'] })
const hostAndPort = () =>
  z
    .string()
    .max(259)
    .regex(new RegExp(`^(?:${HOST})(?::\\d{1,5})?$`), 'is not a host; write app.internal or app.internal:8080')

/** Well-formed, and nothing in it that the reading of paths would change or refuse. */
const path = () =>
  z
    .string()
    .max(2048)
    .regex(/^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/, 'is not a path; it starts with / and has no spaces, ? and #')
    .refine((text) => !/%(?![0-9A-Fa-f]{2})/.test(text), 'has a malformed %')
    .refine((text) => !/\/\/|\/(?:\.|%2e){1,2}(?:\/|;|$)/i.test(text), 'has an empty segment or a dot segment')
    .meta({ kind: 'path', samples: ['/shop'] })

const pattern = () =>
  z
    .string()
    .superRefine((text, context) => {
      const found = checkPattern(text)
      if (typeof found === 'string') context.addIssue({ code: 'custom', message: found })
    })
    .meta({ kind: 'regular expression', samples: ['^/user/([^/]+)$'] })

const method = () => z.string().regex(/^[A-Z][A-Z0-9_-]{0,31}$/, 'is not a method; write GET')

/** One value or several. */
const oneOrMore = <Item extends z.ZodType>(item: Item, error: string) =>
  z
    .union([item, z.array(item).min(1, 'at least one is needed').max(MAX_LIST)], { error })
    .transform((value): z.output<Item>[] => (Array.isArray(value) ? value : [value]) as z.output<Item>[])

/** Exactly one of the keys that are there to choose from. */
const oneOf =
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

const pathMatch = z
  .union([path(), pathObject], { error: 'expected a prefix such as /shop, or { exact, prefix or regex: … }' })
  .transform(asObject)
const pathMatches = z
  .union([path(), pathObject, z.array(pathMatch).min(1, 'at least one is needed').max(MAX_LIST)], {
    error: 'expected a prefix such as /shop, { exact, prefix or regex: … }, or a list of those',
  })
  .transform((value): PathObject[] => (Array.isArray(value) ? value : [asObject(value)]))

const hosts = () => oneOrMore(hostPattern(), 'expected a host or a list of hosts')
const serverNames = () =>
  oneOrMore(
    hostPattern().refine(
      (name) => isIP(name.replace(/^\[|\]$/g, '')) === 0,
      'is an address; clients ask for names only',
    ),
    'expected a name or a list of names',
  )
const methods = () => oneOrMore(method(), 'expected a method or a list of methods')

const conditionShape = {
  host: hosts().optional().describe('Hosts asked for; `*.name` stands for all below a name.'),
  path: pathMatches
    .optional()
    .describe('Paths, as prefixes on the bounds of segments, exact or by regular expression; in canonical form.'),
  method: methods().optional().describe('Methods.'),
  from: oneOrMore(cidr(), 'expected an address, a CIDR block or a list of those')
    .optional()
    .describe('Addresses and CIDR blocks of clients.'),
}
const condition = z.strictObject(conditionShape)

const fieldValues = (more: { host: boolean }) =>
  z.record(fieldName(more), template()).superRefine((fields, context) => {
    for (const [name, value] of Object.entries(fields))
      if (/^host$/i.test(name) && !new RegExp(`^(?:\\{host\\}|(?:${HOST})(?::\\d{1,5})?)$`).test(value))
        context.addIssue({ code: 'custom', path: [name], message: 'is not a host; write app.internal or {host}' })
  })

const rewrittenPrefix = z.strictObject({
  from: path().describe('The prefix, on the bounds of segments.'),
  to: path().describe('What stands in its place; `/`: nothing.'),
})

const rewritePath = z
  .strictObject({
    stripPrefix: path().optional().describe('Taken off where the path has it.'),
    addPrefix: path().optional().describe('Put before the path.'),
    replacePrefix: rewrittenPrefix.optional().describe('One prefix for another.'),
    regex: pattern()
      .optional()
      .describe('What it matches is replaced by `to`, the rest of the path stays. Must run in linear time.'),
    to: z
      .string()
      .max(1024)
      .regex(/^\/(?:[\x21\x22\x24\x26-\x3e\x40-\x7e]|%[0-9A-Fa-f]{2})*$/, 'is not a path')
      .optional()
      .describe('`$1` to `$9`: what a group matched; `$0`: all of it; `$$`: a dollar.'),
  })
  .superRefine((value, context) => {
    oneOf(['stripPrefix', 'addPrefix', 'replacePrefix', 'regex'])(value, context)
    const { regex, to } = value
    if ((regex === undefined) !== (to === undefined))
      context.addIssue({ code: 'custom', message: 'has regex or to, and needs both' })
    const known = regex === undefined ? undefined : checkPattern(regex)
    if (typeof known !== 'object' || to === undefined) return
    for (const [found, name = ''] of to.matchAll(/\$(\$|\d|)/g))
      if (name === '' || Number(name) > known.groups)
        context.addIssue({
          code: 'custom',
          path: ['to'],
          message: `has ${found === '$' ? 'a single $; write $$' : `${found}, and the pattern has ${known.groups} groups`}`,
        })
  })

const redirect = z
  .strictObject({
    status: z
      .union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)], {
        error: 'expected 301, 302, 303, 307 or 308',
      })
      .default(307)
      .describe('301 and 308 are kept by browsers; 307 and 308 keep the method.'),
    scheme: z.enum(['http', 'https']).optional().describe("Default: the request's."),
    host: hostName().optional().describe("Default: the request's."),
    hosts: hosts()
      .optional()
      .describe("Hosts for which the request's own is kept, others get 421. Default: any well-formed one."),
    port: z
      .int()
      .min(1)
      .max(65_535)
      .optional()
      .describe("Default: that of the scheme; the request's where neither scheme nor host change."),
    path: path().optional().describe("Default: the request's, as earlier filters have made it."),
    query: z.enum(['keep', 'drop']).default('keep').describe('What becomes of the query.'),
  })
  .refine((value) => value.scheme ?? value.host ?? value.port ?? value.path, {
    message: 'needs one of scheme, host, port, path',
  })
  .refine(({ host, hosts }) => host === undefined || hosts === undefined, {
    message: 'has host and hosts, and may have one of them',
  })

const access = z.strictObject({
  rules: z
    .array(
      z
        .strictObject({
          allow: condition.optional().describe('Requests that are let in; `{}`: all.'),
          deny: condition.optional().describe('Requests that are refused; `{}`: all.'),
        })
        .superRefine(oneOf(['allow', 'deny'])),
    )
    .max(MAX_LIST)
    .default([])
    .describe('The first that is met decides.'),
  default: z.enum(['allow', 'deny']).default('deny').describe('When no rule is met.'),
  status: z
    .union([z.literal(403), z.literal(404)], { error: 'expected 403 or 404' })
    .default(403)
    .describe('Of the refusal.'),
})

const respond = z
  .strictObject({
    status: z.int().min(200).max(599).default(200).describe('Status of the answer.'),
    fields: z
      .record(
        fieldName({ host: false }),
        z.string().max(8192).regex(FIELD_VALUE, 'a header value has no line breaks or control characters'),
      )
      .default({})
      .describe('Fields of the answer. Content-Type of a body is `text/plain; charset=utf-8` unless it is set.'),
    body: z
      .string()
      .max(64 * 1024)
      .default('')
      .describe('Text of the answer, sent as UTF-8.'),
  })
  .refine(({ status, body }) => body === '' || (status !== 204 && status !== 205 && status !== 304), {
    message: 'has a body, and its status is one without',
    path: ['body'],
  })

const cookieValue = (what: string) => z.string().regex(/^[\x21-\x3a\x3c-\x7e]*$/, `is not a ${what}`)

const cookies = z
  .strictObject({
    names: z
      .array(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'is not the name of a cookie'))
      .min(1)
      .max(MAX_LIST)
      .optional()
      .describe('The cookies that are meant. Default: all.'),
    secure: z.boolean().default(false).describe('Add `Secure`.'),
    httpOnly: z.boolean().default(false).describe('Add `HttpOnly`.'),
    sameSite: z.enum(['Strict', 'Lax', 'None']).optional().describe('Set `SameSite`.'),
    domain: z
      .strictObject({
        from: cookieValue('domain').min(1).max(253).describe("The backend's."),
        to: cookieValue('domain').max(253).describe('What stands in its place; empty: no `Domain`.'),
      })
      .optional()
      .describe('One `Domain` for another.'),
    path: z
      .strictObject({
        from: path()
          .refine((text) => !text.includes(';'), 'has a semicolon')
          .describe('The prefix.'),
        to: path()
          .refine((text) => !text.includes(';'), 'has a semicolon')
          .describe('What stands in its place.'),
      })
      .optional()
      .describe('One prefix of `Path` for another.'),
  })
  .refine(({ sameSite, secure }) => sameSite !== 'None' || secure, {
    message: 'None needs secure: true, or browsers refuse the cookie',
    path: ['sameSite'],
  })

const rewriteLocation = z.strictObject({
  hosts: z
    .array(hostAndPort())
    .max(MAX_LIST)
    .default([])
    .describe("Hosts that stand for the service in the backend's URLs, beside its address and the client's host."),
  paths: z.array(rewrittenPrefix).max(MAX_LIST).default([]).describe('Prefixes of paths; the first that fits counts.'),
})

const names = (more: { host: boolean }) => z.array(fieldName(more)).min(1, 'at least one name is needed').max(MAX_LIST)
const filterShape = {
  setRequestFields: fieldValues({ host: true })
    .optional()
    .describe('Fields that the backend gets instead of those that are there.'),
  addRequestFields: fieldValues({ host: false }).optional().describe('Fields that the backend gets too.'),
  removeRequestFields: names({ host: false }).optional().describe('Fields that the backend does not get.'),
  setResponseFields: fieldValues({ host: false })
    .optional()
    .describe('Fields that the client gets instead of those that are there.'),
  addResponseFields: fieldValues({ host: false }).optional().describe('Fields that the client gets too.'),
  removeResponseFields: names({ host: false }).optional().describe('Fields that the client does not get.'),
  rewritePath: rewritePath.optional().describe('Another path towards the backend.'),
  redirect: redirect.optional().describe('Another URL for the client.'),
  access: access.optional().describe('Who is let in.'),
  respond: respond.optional().describe('A fixed answer.'),
  cookies: cookies.optional().describe('Attributes of the cookies that backends set.'),
  rewriteLocation: rewriteLocation.optional().describe('URLs of backends in Location, Content-Location and Refresh.'),
}

const filter = z
  .strictObject({
    ...filterShape,
    when: condition
      .optional()
      .describe(
        'The requests that the filter is for. On answers, `path` is the one that the client asked for. Default: all.',
      ),
  })
  .superRefine(oneOf(Object.keys(filterShape)))

/** `filters:` of a service. */
export const filtersShape = z
  .array(filter)
  .max(MAX_LIST)
  .default([])
  .describe('What is done to requests and answers, in this order; one filter in each entry.')

const match = z.strictObject({
  host: hosts().optional().describe('Hosts asked for; `*.name` stands for all below a name.'),
  path: pathMatch.optional().describe('A prefix on the bounds of segments, `exact`, or a `regex`.'),
  method: methods().optional().describe('Methods.'),
  headers: z
    .record(
      fieldName({ host: false }),
      z.union([z.string().max(8192).regex(FIELD_VALUE, 'is not a header value'), z.boolean()], {
        error: 'expected the value, true (there is one) or false (there is none)',
      }),
    )
    .optional()
    .describe('Fields: a value, `true` when any will do, `false` when there must be none.'),
})

const POOL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** `routes:` of a service. */
export const routesShape = z
  .array(
    z.strictObject({
      match: match.default({}).describe('The requests that it is for (`http`, `https`). Default: all.'),
      sni: serverNames()
        .optional()
        .describe(
          'Names that clients ask for in their TLS handshake (`tcp`, `tls`); `*.name` stands for all below a name. Default: all ' +
            'connections, those without a name too.',
        ),
      pool: z.string().regex(POOL_NAME, 'is not the name of a pool').describe('Where they go: a key of `pools`.'),
    }),
  )
  .max(4096)
  .default([])
  .describe(
    "Which pool a request or connection goes to: the first that matches, so the special ones first. None: the service's own backends.",
  )

/** `pools:` of a service: each entry has these options, as the service itself has them. */
export const poolsShape = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z
    .record(
      z.string().regex(POOL_NAME, 'a name has letters, digits, ".", "_" and "-", and is at most 63 long'),
      z.strictObject(shape),
    )
    .default({})
    .describe('Further sets of backends, for `routes`. What a pool does not say is as the service says.')

/** `sorry:` of a pool. */
export const sorryShape = z
  .strictObject({
    respond: respond.optional().describe('A fixed answer (`http`, `https`).'),
    redirect: z
      .string()
      .max(2048)
      .regex(/^(?:https?:\/\/[^\s/?#]+)?\/[\x21-\x7e]*$/, 'is not a URL; write https://status.example/ or /sorry')
      .optional()
      .describe('A URL that clients are sent to with 302 (`http`, `https`).'),
    backend: backendAddress().optional().describe('A backend that is not probed and gets all flows.'),
  })
  .superRefine(oneOf(['respond', 'redirect', 'backend']))
  .optional()
  .describe('What clients get with `allDown: sorry`.')

/** `http.paths`. */
export const pathsShape = z
  .strictObject({
    nul: z.enum(['reject', 'pass']).default('reject').describe('`%00`.'),
    controls: z.enum(['reject', 'pass']).default('reject').describe('`%01` to `%1F`, and `%7F`.'),
    encodedSlash: z
      .enum(['reject', 'pass', 'decode'])
      .default('reject')
      .describe('`%2F`. Passed, it is a character of its segment to us, and may be a slash to the backend.'),
    backslash: z.enum(['reject', 'pass', 'decode']).default('reject').describe('`\\` and `%5C`; decoded: a slash.'),
    dotSegments: z
      .enum(['reject', 'pass', 'decode'])
      .default('decode')
      .describe('`/./`, `/../`, `/%2e%2e/`. Decoded: resolved; above the root, and hidden as in `..;/`: refused.'),
    emptySegments: z.enum(['reject', 'pass', 'merge']).default('merge').describe('`//`.'),
    doubleEncoding: z
      .enum(['reject', 'pass'])
      .default('reject')
      .describe(
        '`%25` before `2e`, `2f`, `3b`, `5c`, `00`, `c0` or `c1`: another path to a backend that decodes twice.',
      ),
    parameters: z
      .enum(['reject', 'pass'])
      .default('pass')
      .describe('`;` and `%3B`. Java backends cut off what follows before they look at a path.'),
  })
  .optional()
  .describe(
    'How the path of a request is read. Rules see what is forwarded: one canonical form. A refused path: 400. Default: as ' +
      'these options say where `filters` are set, else paths go on as they came.',
  )

export type FilterOptions = z.output<typeof filtersShape>[number]
export type RouteOptions = z.output<typeof routesShape>[number]
export type PathsOptions = z.output<typeof pathsShape>
