/** HTTP.md 2: the only transfer coding of a request is one `chunked`, and nothing that resembles it passes. */
import t from 'tap'
import { passes, post, type RefusedRow, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t)
const BODY = '5\r\nhello\r\n0\r\n\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'
const row = (lines: string, status: RefusedRow['status'] = 400): RefusedRow => ({
  title: JSON.stringify(lines),
  bytes: post(`${lines}\r\n`, `${BODY}${SMUGGLED}`),
  status,
})

t.test('an unknown coding is answered 501', async (t) => {
  const codings = ['gzip', 'identity', 'deflate', 'compress', 'br', 'x-gzip', 'xchunked', 'chunkedx', 'chunk', 'chunke']
  const lists = ['gzip, chunked', 'gzip,chunked', 'identity, chunked', 'deflate , chunked', 'xchunked, chunked', 'x']
  await refuses(
    t,
    rig,
    [...codings, ...lists].map((coding) => row(`Transfer-Encoding: ${coding}`, 501)),
  )
})

t.test('chunked twice, not last, or none at all is refused', async (t) => {
  await refuses(t, rig, [
    row('Transfer-Encoding: chunked, chunked'),
    row('Transfer-Encoding: chunked,chunked'),
    row('Transfer-Encoding: Chunked, CHUNKED'),
    row('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'),
    row('Transfer-Encoding: chunked\r\ntransfer-encoding: chunked'),
    row('Transfer-Encoding: chunked\r\nX: y\r\nTRANSFER-ENCODING: CHUNKED'),
    row('Transfer-Encoding: chunked, gzip'),
    row('Transfer-Encoding: chunked, identity'),
    row('Transfer-Encoding: chunked, x'),
    row('Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip'),
    row('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
    row('Transfer-Encoding: chunked\r\nTransfer-Encoding:'),
    row('Transfer-Encoding:\r\nTransfer-Encoding: chunked'),
    row('Transfer-Encoding:'),
    row('Transfer-Encoding: '),
    row('Transfer-Encoding:\t'),
  ])
})

t.test('codings that are both odd and unknown are refused one way or the other', async (t) => {
  const values = [
    'chunked;q=1',
    'chunked; q=0',
    'chunked;',
    '"chunked"',
    "'chunked'",
    'chunked,',
    ',chunked',
    ', chunked',
    'chunked, ,',
    ',',
    ', ,',
    'chunked chunked',
    'chunked gzip',
    'chunked\tx',
    'chun ked',
    'chunked=1',
    '[chunked]',
    'chunked:',
    'chunked/1',
    '\xa0chunked',
    'chunked\xa0',
    'chunked\x80',
    'chunked\xff',
    'ch\xfcnked',
    '\xe2\x80\x8bchunked',
    'chun\xc4\xb7ed',
    '\xef\xbb\xbfchunked',
  ]
  await refuses(t, rig, [
    ...values.map((value) => row(`Transfer-Encoding: ${value}`, [400, 501])),
    row('Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked', [400, 501]),
    row('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', [400, 501]),
    row('Transfer-Encoding: gzip, chunked, gzip', [400, 501]),
  ])
})

t.test('a coding with a hidden byte is refused', async (t) => {
  const controls = [0, 1, 7, 8, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f, 0x7f].map((code) => String.fromCharCode(code))
  await refuses(
    t,
    rig,
    controls.flatMap((c) => [
      row(`Transfer-Encoding: ${c}chunked`),
      row(`Transfer-Encoding:${c}chunked`),
      row(`Transfer-Encoding: chunked${c}`),
      row(`Transfer-Encoding: chun${c}ked`),
      row(`Transfer-Encoding: chunked${c}, chunked`),
    ]),
  )
})

t.test('a name that only resembles Transfer-Encoding is refused', async (t) => {
  const names = [
    'Transfer_Encoding:',
    'transfer_encoding:',
    'TRANSFER_ENCODING:',
    'Transfer-Encoding :',
    'Transfer-Encoding  :',
    'Transfer-Encoding\t:',
    ' Transfer-Encoding:',
    '\tTransfer-Encoding:',
    'X: y\r\n Transfer-Encoding:',
    'X: y\r\n\tTransfer-Encoding:',
    'Transfer-Encoding\x00:',
    '\x00Transfer-Encoding:',
    'Transfer-\x00Encoding:',
    'Transfer-Encoding\x0b:',
    'Transfer-Encoding\x7f:',
    'Transfer-Encoding\x80:',
    'Transfer-Encoding\xa0:',
    'Transfer\xadEncoding:',
    '\xef\xbb\xbfTransfer-Encoding:',
    'Transfer Encoding:',
    'Transfer-Encoding',
    'Transfer-Encoding=',
    '"Transfer-Encoding":',
    'Transfer-Encoding;:',
    'Transfer-Encoding\r\n :',
    'X: y\nTransfer-Encoding:',
    'X: y\rTransfer-Encoding:',
    'X: y\n\rTransfer-Encoding:',
    'X: y\r\r\nTransfer-Encoding:',
    ':\r\nTransfer-Encoding:',
  ]
  await refuses(
    t,
    rig,
    names.flatMap((name) => [
      row(`${name} chunked`),
      { ...row(`Content-Length: 5\r\n${name} chunked`), title: `${JSON.stringify(name)} after a length` },
    ]),
  )
})

t.test('a coding that is written over lines is refused', async (t) => {
  await refuses(t, rig, [
    row('Transfer-Encoding:\r\n chunked'),
    row('Transfer-Encoding:\r\n\tchunked'),
    row('Transfer-Encoding: \r\n chunked'),
    row('Transfer-Encoding: chunked\r\n '),
    row('Transfer-Encoding: chunked\r\n , identity'),
    row('Transfer-Encoding: chun\r\n ked'),
    row('Transfer-Encoding:\nchunked'),
    row('Transfer-Encoding:\n chunked'),
    row('Transfer-Encoding:\rchunked'),
    row('Transfer-Encoding: chunked\n'),
    row('Transfer-Encoding: chunked\r'),
    row('Transfer-Encoding: x\nTransfer-Encoding: chunked'),
    row('Transfer-Encoding: x\rTransfer-Encoding: chunked'),
  ])
})

t.test('HTTP/1.0 has no transfer codings', async (t) => {
  const old = (lines: string) => {
    const r = row(lines, [400])
    return { ...r, bytes: String(r.bytes).replace('HTTP/1.1', 'HTTP/1.0') }
  }
  await refuses(t, rig, [
    old('Transfer-Encoding: chunked'),
    old('transfer-encoding: CHUNKED'),
    old('Connection: keep-alive\r\nTransfer-Encoding: chunked'),
    old('Transfer-Encoding: chunked\r\nContent-Length: 5'),
    old('Content-Length: 5\r\nTransfer-Encoding: chunked'),
    old('Transfer-Encoding:'),
    { ...old('Transfer-Encoding: gzip'), status: [400, 501] },
    { ...old('Transfer-Encoding: identity'), status: [400, 501] },
  ])
})

t.test('chunked itself passes in any case and with any white space that a value may have around it', async (t) => {
  const fields = [
    'Transfer-Encoding: chunked',
    'transfer-encoding:chunked',
    'TRANSFER-ENCODING: CHUNKED',
    'Transfer-Encoding: Chunked',
    'Transfer-Encoding:\tchunked',
    'Transfer-Encoding:  chunked  ',
    'tRANSFER-eNCODING: cHUNKED\t',
  ]
  await passes(t, rig, [
    ...fields.map((field) => ({ title: field, bytes: post(`${field}\r\n`, BODY), method: 'POST', body: 'hello' })),
    {
      title: 'on GET',
      bytes: post('Transfer-Encoding: chunked\r\n', BODY).replace('POST', 'GET'),
      method: 'GET',
      body: 'hello',
    },
    { title: 'an empty body', bytes: post('Transfer-Encoding: chunked\r\n', '0\r\n\r\n'), body: '' },
    {
      title: 'TE is not Transfer-Encoding',
      bytes: post('TE: gzip\r\nContent-Length: 5\r\n', 'hello'),
      body: 'hello',
    },
    {
      title: 'Content-Encoding is not Transfer-Encoding',
      bytes: post('Content-Encoding: gzip\r\nContent-Length: 5\r\n', 'hello'),
      body: 'hello',
    },
  ])
})

t.test('the backend never saw a request that was not meant for it', async (t) => {
  t.strictSame(rig.backend.faults, [])
  t.notOk(rig.backend.heads.some((head) => head.target === '/smuggled'))
})
