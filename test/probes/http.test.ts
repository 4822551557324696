/** The HTTP and HTTPS probes: what they send, what they expect, whom they trust. */
import { writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { BalancerError } from '../../lib/core/index.ts'
import { createProbe, type Probe, type ProbeReason } from '../../lib/probes/index.ts'
import { answering, type Behaviour, certificateIn, healthOf, onRequest, probeOf, startBackend } from './support.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const signal = new AbortController().signal

/** What tap compares a failure with. */
const failing = (reason: ProbeReason, message = /./) => ({ code: 'PROBE_FAILED', reason, message })

const httpProbe = (options: Record<string, unknown>): Probe => probeOf({ type: 'http', ...options })

/** The request line and fields that a probe with these options sends. */
async function sentBy(t: Test, options: Record<string, unknown>): Promise<{ lines: string[]; port: number }> {
  let head = ''
  const backend = await startBackend(
    t,
    onRequest((stream, _raw, text) => {
      head = text
      stream.end(OK)
    }),
  )
  await httpProbe(options).check(backend.address, signal)
  return { lines: head.split('\r\n').filter((line) => line !== ''), port: backend.address.port }
}

t.test('the request has the path, the address as Host, and asks for the connection to be closed', async (t) => {
  const { lines, port } = await sentBy(t, { path: '/a/../b?c=%2e//' })
  t.same(lines, [
    'GET /a/../b?c=%2e// HTTP/1.1',
    `host: 127.0.0.1:${port}`,
    'connection: close',
    'user-agent: evenkeel-probe',
  ])
})

t.test('method, host and headers are sent as configured', async (t) => {
  const { lines } = await sentBy(t, {
    method: 'HEAD',
    host: 'shop.example',
    headers: { 'X-Probe': 'yes', 'User-Agent': 'me' },
  })
  t.equal(lines[0], 'HEAD / HTTP/1.1')
  t.ok(lines.includes('host: shop.example'))
  t.ok(lines.includes('x-probe: yes'))
  t.same(
    lines.filter((line) => /^user-agent/i.test(line)),
    ['user-agent: me'],
  )
})

t.test('a POST says that it has no body', async (t) => {
  const { lines } = await sentBy(t, { method: 'POST' })
  t.ok(lines.includes('content-length: 0'))
})

const statuses: readonly [expect: unknown, status: number, pass: boolean][] = [
  ['200-399', 200, true],
  ['200-399', 399, true],
  ['200-399', 400, false],
  ['200', 204, false],
  ['200,204', 204, true],
  [[200, '300-308'], 301, true],
  ['503', 503, true],
]
for (const [expect, status, pass] of statuses) {
  t.test(`${status} ${pass ? 'passes' : 'fails'} where ${JSON.stringify(expect)} is expected`, async (t) => {
    const backend = await startBackend(
      t,
      answering(`HTTP/1.1 ${status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n`),
    )
    const check = httpProbe({ expect }).check(backend.address, signal)
    if (pass) t.same(await check, { detail: `HTTP ${status}` })
    else await t.rejects(check, failing('status', new RegExp(`^HTTP ${status}, expected \\d`)))
    t.equal(backend.accepted(), 1, 'a redirect is not followed')
  })
}

const chunked = (...parts: string[]): string =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${parts.map((p) => `${p.length.toString(16)}\r\n${p}\r\n`).join('')}`
const sized = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const KIB64 = 64 * 1024

const bodies: readonly [title: string, behaviour: Behaviour, verdict: 'pass' | 'body' | 'closed'][] = [
  ['holds the text', answering(sized('status: healthy!')), 'pass'],
  ['lacks the text', answering(sized('status: ill')), 'body'],
  ['is empty', answering(sized('')), 'body'],
  ['holds the text in two chunks', answering(`${chunked('status: hea', 'lthy')}0\r\n\r\n`), 'pass'],
  ['holds the text in the last of the first 64 KiB', answering(sized(`${'x'.repeat(KIB64 - 7)}healthy`)), 'pass'],
  ['holds the text one byte too late', answering(sized(`${'x'.repeat(KIB64 - 6)}healthy`)), 'body'],
  ['holds the text and never ends', answering(chunked('status: healthy'), 'stay'), 'pass'],
  [
    'holds the text in two pieces, the second later, and never ends',
    onRequest((stream) => {
      stream.write(chunked('status: hea'))
      setTimeout(() => stream.write('4\r\nlthy\r\n'), 50)
    }),
    'pass',
  ],
  ['lacks the text for 64 KiB and never ends', answering(chunked('x'.repeat(KIB64)), 'stay'), 'body'],
  ['ends early', answering('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nill'), 'closed'],
  [
    'holds bytes that are not UTF-8 before the text',
    answering(
      Buffer.concat([
        Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'),
        Buffer.from([0xe2, 0x82]),
        Buffer.from('healthy'),
      ]),
    ),
    'pass',
  ],
]
for (const [title, behaviour, verdict] of bodies) {
  t.test(`a body that ${title}: ${verdict}`, async (t) => {
    const backend = await startBackend(t, behaviour)
    const check = httpProbe({ body: 'healthy' }).check(backend.address, signal)
    if (verdict === 'pass') t.same(await check, { detail: 'HTTP 200' })
    else await t.rejects(check, failing(verdict))
    await backend.idle()
  })
}

const patterns: readonly [pattern: string, body: string, pass: boolean][] = [
  ['^ok$', 'ok', true],
  ['^ok$', 'not ok', false],
  ['^.*"status": *"up"', '{\n  "status":   "up"\n}', true],
  ['^.*"status": *"up"', '{ "status": "down" }', false],
]
for (const [pattern, body, pass] of patterns)
  t.test(`${JSON.stringify(body)} ${pass ? 'passes' : 'fails'} where ${pattern} is expected`, async (t) => {
    const backend = await startBackend(t, answering(sized(body)))
    const check = httpProbe({ body: { pattern } }).check(backend.address, signal)
    if (pass) t.same(await check, { detail: 'HTTP 200' })
    else await t.rejects(check, failing('body'))
  })

t.test('a pattern over 64 KiB made to take long is done in no time', async (t) => {
  const backend = await startBackend(t, answering(sized('"status":'.repeat(KIB64 / 9))))
  const probe = httpProbe({ body: { pattern: '^.*"status": *"up"' } })
  const begun = performance.now()
  await t.rejects(probe.check(backend.address, signal), failing('body'))
  t.ok(performance.now() - begun < 1000)
})

for (const [options, status, result] of [
  [{ disableOn404: true }, 404, { detail: 'HTTP 404: drains', drain: true }],
  [{ disableOn404: true, expect: '404' }, 404, { detail: 'HTTP 404: drains', drain: true }],
  [{ disableOn404: true }, 200, { detail: 'HTTP 200' }],
  [{}, 404, null],
  [{ disableOn404: true }, 410, null],
] as const)
  t.test(`${status} with ${JSON.stringify(options)}: ${result === null ? 'fails' : result.detail}`, async (t) => {
    const backend = await startBackend(t, answering(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`))
    const check = httpProbe(options).check(backend.address, signal)
    if (result === null) await t.rejects(check, failing('status'))
    else t.strictSame(await check, result)
  })

t.test('the expected text is in no error', async (t) => {
  const backend = await startBackend(t, answering(sized('ill')))
  const error = await httpProbe({ body: 'hunter2' })
    .check(backend.address, signal)
    .catch((e: unknown) => e)
  t.equal(error instanceof BalancerError && error.message.includes('hunter2'), false)
})

t.test('an endless body is not waited for when no text is expected', async (t) => {
  const backend = await startBackend(t, answering(chunked('a'), 'stay'))
  t.same(await httpProbe({}).check(backend.address, signal), { detail: 'HTTP 200' })
  await backend.idle()
})

t.test('trust', async (t) => {
  const dir = t.testdir({})
  const [good, other] = [await certificateIn(`${dir}/good`), await certificateIn(`${dir}/other`)]
  const rows: readonly [title: string, options: Record<string, unknown>, fails: RegExp | null, sni: string | false][] =
    [
      ['the authority is given and the address is in the certificate', { tls: { ca: good.ca } }, null, false],
      ['host is in the certificate', { host: 'localhost', tls: { ca: good.ca } }, null, 'localhost'],
      ['host has a port', { host: 'localhost:8443', tls: { ca: good.ca } }, null, 'localhost'],
      [
        'serverName goes before host',
        { host: 'a.example', tls: { ca: good.ca, serverName: 'localhost' } },
        null,
        'localhost',
      ],
      ['serverName is an address in the certificate', { tls: { ca: good.ca, serverName: '::1' } }, null, false],
      ['the authority is unknown', { tls: { ca: other.ca } }, /unknown authority/, false],
      ['no authority is given', {}, /unknown authority/, false],
      [
        'the certificate is for another name',
        { tls: { ca: good.ca, serverName: 'a.example' } },
        /another name/,
        'a.example',
      ],
      [
        'the certificate is for another address',
        { tls: { ca: good.ca, serverName: '10.0.0.1' } },
        /another name/,
        false,
      ],
      [
        'nothing matches but insecureSkipVerify',
        { host: 'a.example', tls: { insecureSkipVerify: true } },
        null,
        'a.example',
      ],
    ]
  for (const [title, options, fails, sni] of rows) {
    t.test(`${title}: ${fails === null ? 'pass' : 'tls'}`, async (t) => {
      const backend = await startBackend(t, answering(OK), good)
      const check = httpProbe({ type: 'https', ...options }).check(backend.address, signal)
      if (fails === null) t.same(await check, { detail: 'HTTP 200' })
      else await t.rejects(check, failing('tls', fails))
      await backend.idle()
      if (fails === null) t.same(backend.serverNames, [sni])
    })
  }

  t.test('a backend without TLS: tls', async (t) => {
    const backend = await startBackend(t, (stream) => stream.once('data', () => stream.end('HTTP/1.1 400 Bad\r\n\r\n')))
    await t.rejects(httpProbe({ type: 'https' }).check(backend.address, signal), failing('tls'))
  })
})

t.test('a CA file that cannot be used is refused when the probe is made', (t) => {
  const dir = t.testdir({ empty: '', broken: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' })
  writeFileSync(`${dir}/key`, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n')
  for (const [file, why] of [
    ['absent', /does not exist/],
    ['empty', /no PEM certificate/],
    ['key', /no PEM certificate/],
    ['broken', /can't be used/],
  ] as const)
    t.throws(() => httpProbe({ type: 'https', tls: { ca: `${dir}/${file}` } }), {
      code: 'TLS_CERTIFICATE',
      message: why,
    })
  t.end()
})

t.test('`none` has no probe', (t) => {
  t.equal(createProbe(healthOf({ type: 'none' }), { service: 's', backend: 'b' }), null)
  t.end()
})
