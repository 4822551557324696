/** The options of filters: the declaration, as in schema.ts. */
import { z } from 'zod'
import {
  FIELD_VALUE,
  fieldName,
  HOST,
  hostAndPort,
  hostName,
  hosts,
  MAX_LIST,
  methods,
  oneOf,
  oneOrMore,
  path,
  pathMatches,
  pattern,
} from './matching.ts'
import { checkPattern } from './patterns.ts'
import { cidr } from './scalars.ts'

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

export const respond = z
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
