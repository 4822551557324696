/** No filter, whatever it is fed, writes a byte that ends a field, a head or a request line. */
import fc from 'fast-check'
import t from 'tap'
import { type PathPolicy, SAFE_PATHS } from '../../lib/filters/index.ts'
import { ask, chain, request, response, rowsOf } from './fixtures/exchange.ts'

const FILTERS = chain(
  { setRequestFields: { 'X-Client': '{client} {host} {path} {scheme} {request-id}', Host: '{host}' } },
  { addRequestFields: { 'X-Path': '{path}' } },
  { removeRequestFields: ['X-Secret'] },
  { access: { rules: [{ deny: { path: '/secret' } }], default: 'allow' } },
  { redirect: { scheme: 'https' }, when: { path: '/redirect' } },
  { redirect: { path: '/there' }, when: { path: '/path' } },
  { rewritePath: { regex: '^/go(.*)$', to: '/to$1' } },
  { rewritePath: { regex: '^/data(.*)$', to: '/$1' } },
  { rewritePath: { stripPrefix: '/strip' } },
  { respond: { status: 200, body: 'x' }, when: { path: '/fixed' } },
  { setResponseFields: { 'X-Path': '{path} {host}' } },
  { cookies: { secure: true, sameSite: 'Lax', path: { from: '/', to: '/x' }, domain: { from: 'a', to: 'b' } } },
  { rewriteLocation: { hosts: ['app'], paths: [{ from: '/a', to: '/' }] } },
)
/** What a strict head lets into a target, a host and a value. */
const visible = (but: RegExp) =>
  fc.array(
    fc
      .integer({ min: 33, max: 126 })
      .map((code) => String.fromCharCode(code))
      .filter((char) => !but.test(char)),
    { maxLength: 12 },
  )
const tail = fc.array(
  fc.oneof(
    visible(/[#?]/).map((chars) => chars.join('')),
    fc.constantFrom('..', '/', '%0d%0a', '%0D', '%00', '%2f', '\\', ';', '%', '%25', '//', '.'),
  ),
  { maxLength: 6 },
)
const targets = fc
  .tuple(
    fc.constantFrom('/', '/redirect/', '/path/', '/go', '/data', '/strip/', '/fixed/', '/secret'),
    tail,
    visible(/#/),
  )
  .map(([start, parts, query]) => `${start}${parts.join('')}?${query.join('')}`)
const hosts = fc.stringMatching(/^[A-Za-z0-9\-._~!$&'()*+;=%]{0,12}$/)
const values = fc.stringMatching(/^[\t -~\x80-\xff]{0,40}$/)
const policies: fc.Arbitrary<PathPolicy> = fc.constantFrom<PathPolicy>(SAFE_PATHS, {
  nul: 'pass',
  controls: 'pass',
  encodedSlash: 'pass',
  backslash: 'pass',
  dotSegments: 'pass',
  emptySegments: 'pass',
  doubleEncoding: 'pass',
  parameters: 'pass',
})
const clean = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
const cleanRows = (rows: Iterable<readonly [string, string]>): boolean => [...rows].every((row) => row.every(clean))

t.test('requests: target, fields and replies are clean', (t) => {
  let forwarded = 0
  let replied = 0
  fc.assert(
    fc.property(targets, hosts, values, policies, (target, host, value, paths) => {
      let asked: ReturnType<typeof request>
      try {
        asked = request({
          target,
          host,
          paths,
          fields: [
            ['X-Secret', value],
            ['X-Other', value],
          ],
        })
      } catch {
        return true
      }
      const reply = ask(FILTERS, asked)
      if (reply !== undefined) {
        replied++
        const location = reply.fields.find(([name]) => name === 'Location')?.[1] ?? '/'
        return cleanRows(reply.fields) && /^(?:https:\/\/[a-z0-9_[]|\/(?![/\\]))/.test(location)
      }
      forwarded++
      return /^\/[!-~]*$/.test(asked.target) && !asked.target.includes('#') && cleanRows(rowsOf(asked))
    }),
    { numRuns: 5000 },
  )
  t.ok(forwarded > 500 && replied > 500, `${forwarded} forwarded, ${replied} replied`)
  t.end()
})

t.test('answers: fields are clean, and none is lost', (t) => {
  const start = fc.constantFrom(
    '',
    'http://10.0.0.1:8080',
    '//app/',
    '/a/',
    '/a//',
    'a=1; Path=/',
    'a=1; Domain=a;',
    '0; url=',
  )
  const value = fc.tuple(start, values).map((parts) => parts.join(''))
  fc.assert(
    fc.property(value, value, value, hosts, (location, cookie, refresh, host) => {
      const rows = [
        ['Location', location],
        ['Set-Cookie', cookie],
        ['Refresh', refresh],
      ] as const
      const answer = response(rows, { host })
      FILTERS.onResponse?.(answer)
      const after = [...answer.fields.entries()]
      return cleanRows(after) && after.length === rows.length + 1
    }),
    { numRuns: 5000 },
  )
  t.end()
})
