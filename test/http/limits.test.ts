/** HTTP.md 6: limits of a request, each with its own status. */
import t from 'tap'
import { chunked, get, passes, post, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t, {
  small: { http: { maxTarget: '100', maxHead: '1KiB', maxFields: 10 } },
  body: { http: { maxBody: '1KiB' } },
})
const fields = (n: number) => Array.from({ length: n }, (_, i) => `X-${i}: v\r\n`).join('')
const target = (n: number) => `/${'a'.repeat(n - 1)}`

t.test('a target of up to 8 KiB passes, a longer one is answered 414', async (t) => {
  await passes(t, rig, [{ title: '8192', bytes: get(target(8192)), target: target(8192) }])
  await refuses(t, rig, [
    { title: '8193', bytes: get(target(8193)), status: 414 },
    { title: '20000', bytes: get(target(20_000)), status: 414 },
    { title: 'a query', bytes: get(`/?${'q'.repeat(9000)}`), status: 414 },
    { title: 'absolute-form', bytes: get(`http://a.test${target(9000)}`), status: 414 },
    { title: 'no end in sight', bytes: `GET ${target(100_000)}`, status: 414 },
  ])
})

t.test('up to 100 fields pass, more are answered 431', async (t) => {
  await passes(t, rig, [{ title: '100 with Host', bytes: get('/', fields(99)) }])
  await refuses(t, rig, [
    { title: '101 with Host', bytes: get('/', fields(100)), status: 431 },
    { title: '5000', bytes: get('/', fields(5000)), status: 431 },
    { title: '1000 times the same', bytes: get('/', 'X: v\r\n'.repeat(1000)), status: 431 },
    { title: '1000 empty values', bytes: get('/', 'X:\r\n'.repeat(1000)), status: 431 },
  ])
})

t.test('fields of up to 32 KiB together pass, more are answered 431', async (t) => {
  const kib = (n: number) => Array.from({ length: n }, (_, i) => `X-${i}: ${'v'.repeat(1010)}\r\n`).join('')
  await passes(t, rig, [{ title: '30 KiB', bytes: get('/', kib(30)) }])
  await refuses(t, rig, [
    { title: '34 KiB', bytes: get('/', kib(34)), status: 431 },
    { title: '90 KiB', bytes: get('/', kib(90)), status: 431 },
    { title: 'a head without end', bytes: `GET / HTTP/1.1\r\nHost: a.test\r\n${kib(60)}`, status: 431 },
    { title: 'a line without end', bytes: `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${'v'.repeat(100_000)}`, status: 431 },
    { title: 'a name without end', bytes: `GET / HTTP/1.1\r\nHost: a.test\r\n${'n'.repeat(100_000)}`, status: 431 },
  ])
})

t.test('a name is at most 256 bytes and a value 8 KiB', async (t) => {
  await passes(t, rig, [
    { title: 'a name of 256', bytes: get('/', `${'n'.repeat(256)}: v\r\n`) },
    { title: 'a value of 8192', bytes: get('/', `X: ${'v'.repeat(8192)}\r\n`) },
  ])
  await refuses(t, rig, [
    { title: 'a name of 257', bytes: get('/', `${'n'.repeat(257)}: v\r\n`), status: [400, 431] },
    { title: 'a value of 8193', bytes: get('/', `X: ${'v'.repeat(8193)}\r\n`), status: [400, 431] },
  ])
})

t.test('the limits are settable', async (t) => {
  await passes(
    t,
    rig,
    [
      { title: 'a target at the limit', bytes: get(target(100)), target: target(100) },
      { title: 'fields at the limit', bytes: get('/', fields(9)) },
      { title: 'half the head', bytes: get('/', `X: ${'v'.repeat(512)}\r\n`) },
    ],
    'small',
  )
  await refuses(
    t,
    rig,
    [
      { title: 'a target past it', bytes: get(target(101)), status: 414 },
      { title: 'fields past it', bytes: get('/', fields(10)), status: 431 },
      { title: 'a head past it', bytes: get('/', `X: ${'v'.repeat(1100)}\r\n`), status: 431 },
    ],
    { service: 'small' },
  )
})

t.test('a body has no limit by default', async (t) => {
  const body = 'x'.repeat(4 * 1024 * 1024)
  await passes(t, rig, [{ title: '4 MiB', bytes: post(`Content-Length: ${body.length}\r\n`, body), body }])
})

t.test('a body longer than the limit is answered 413', async (t) => {
  const kib = 'x'.repeat(1024)
  const chunk = `400\r\n${kib}\r\n`
  await passes(
    t,
    rig,
    [
      { title: 'a length at the limit', bytes: post('Content-Length: 1024\r\n', kib), body: kib },
      { title: 'chunks at the limit', bytes: chunked(`${chunk}0\r\n\r\n`), body: kib },
    ],
    'body',
  )
  const service = 'body'
  await refuses(
    t,
    rig,
    [
      { title: 'a length past it', bytes: post('Content-Length: 1025\r\n', `${kib}x`), status: 413 },
      { title: 'a length past it, no body yet', bytes: post('Content-Length: 999999\r\n', ''), status: 413 },
      {
        title: 'a length past it after Expect',
        bytes: post('Content-Length: 1025\r\nExpect: 100-continue\r\n', ''),
        status: 413,
      },
    ],
    { service },
  )
  await refuses(
    t,
    rig,
    [
      { title: 'one chunk past it', bytes: chunked(`401\r\n${kib}x\r\n0\r\n\r\n`), status: 413 },
      { title: 'a chunk that is not over yet', bytes: chunked(`FFFFFF\r\n${kib}x`), status: 413 },
      { title: 'two chunks past it', bytes: chunked(`${chunk}1\r\nx\r\n0\r\n\r\n`), status: 413 },
      {
        title: 'many small chunks past it',
        bytes: chunked(`${'1\r\nx\r\n'.repeat(1025)}0\r\n\r\n`),
        status: 413,
      },
    ],
    { service, inBody: true },
  )
})

t.test('nothing of any of it reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
})
