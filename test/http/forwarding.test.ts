/** HTTP.md 10 and 11: who the backend is told the client is, and Via. */
import t from 'tap'
import { get, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { type Field, namesOf, valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  trusting: { http: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] } },
  'other-trust': { http: { trustedProxies: ['10.0.0.0/8'] } },
  forwarded: { http: { forwarded: true } },
  named: { http: { via: 'lb-a' } },
  bare: { http: { via: false, requestId: false } },
  id: { http: { requestId: 'X-Trace' } },
})
let n = 0

async function sent(lines: string, service = 'main', host = 'a.test'): Promise<readonly Field[]> {
  const target = `/${n++}`
  const { status } = await roundTrip(rig.port(service), `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`)
  if (status !== 200) throw new Error(`answered ${status} to ${JSON.stringify(lines)}`)
  return rig.backend.last(target).fields
}

const FORGED = [
  'X-Forwarded-For: 6.6.6.6',
  'x-forwarded-for: 6.6.6.6, 127.0.0.1',
  'X_Forwarded_For: 6.6.6.6',
  'X-Forwarded_For: 6.6.6.6',
  'x_forwarded-for: 6.6.6.6',
  'X-Forwarded-Proto: forged',
  'X_Forwarded_Proto: forged',
  'X-Forwarded-Host: forged',
  'X_FORWARDED_HOST: forged',
  'X-Forwarded-Port: 99999',
  'X_Forwarded_Port: 99999',
  'X-Forwarded-Server: forged',
  'X-Forwarded-Prefix: forged',
  'X-Real-IP: 6.6.6.6',
  'X_Real_IP: 6.6.6.6',
  'x-real-ip: 6.6.6.6',
  'Forwarded: for=6.6.6.6',
  'forwarded: for=6.6.6.6;proto=forged',
]

t.test('what a client says about itself is dropped, in every spelling', async (t) => {
  for (const service of ['main', 'other-trust', 'forwarded'])
    for (const line of FORGED) {
      const fields = await sent(`${line}\r\nX-Kept: 1\r\n`, service)
      t.notOk(
        fields.some(([, value]) => /6\.6\.6\.6|forged|\b99999\b/.test(value)),
        `${line} to ${service}`,
      )
      t.notOk(
        namesOf(fields).some((name) => /^x[-_](?:forwarded|real)/.test(name) && name.includes('_')),
        'no twin',
      )
      t.strictSame(valuesOf(fields, 'x-kept'), ['1'])
    }
})

t.test('all of it at once, and repeated, is dropped too', async (t) => {
  const fields = await sent(`${[...FORGED, ...FORGED].join('\r\n')}\r\n`)
  t.notOk(fields.some(([, value]) => /6\.6\.6\.6|forged|\b99999\b/.test(value)))
})

t.test('the backend is told the address, the protocol, the host and the port, once each', async (t) => {
  for (const lines of ['', `${FORGED.join('\r\n')}\r\n`, 'Connection: X-Forwarded-For, X-Forwarded-Proto\r\n']) {
    const fields = await sent(lines, 'main', 'Shop.test:8080')
    t.strictSame(valuesOf(fields, 'x-forwarded-for'), ['127.0.0.1'])
    t.strictSame(valuesOf(fields, 'x-forwarded-proto'), ['http'])
    t.strictSame(valuesOf(fields, 'x-forwarded-host'), ['Shop.test:8080'])
    t.strictSame(valuesOf(fields, 'x-forwarded-port'), [String(rig.port())])
    t.strictSame(valuesOf(fields, 'forwarded'), [], 'Forwarded only on request')
  }
})

t.test('a name with an underscore that is nobody’s twin passes as it is', async (t) => {
  const fields = await sent('X_Custom: 1\r\nX_Forwarded_Nothing_Else_Custom: 2\r\n_: 3\r\nMy_Header: 4\r\n')
  t.strictSame(valuesOf(fields, 'x_custom'), ['1'])
  t.strictSame(valuesOf(fields, 'my_header'), ['4'])
  t.strictSame(valuesOf(fields, '_'), ['3'])
})

t.test('a trusted proxy is believed, and the chain grows', async (t) => {
  for (const [lines, wanted] of [
    ['', '127.0.0.1'],
    ['X-Forwarded-For: 203.0.113.9\r\n', '203.0.113.9, 127.0.0.1'],
    ['X-Forwarded-For: 203.0.113.9, 10.1.1.1\r\n', '203.0.113.9, 10.1.1.1, 127.0.0.1'],
    ['X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.1.1.1\r\n', '203.0.113.9, 10.1.1.1, 127.0.0.1'],
  ] as const) {
    const got = valuesOf(await sent(lines, 'trusting'), 'x-forwarded-for')
      .join(', ')
      .replaceAll(/ *, */g, ', ')
    t.equal(got, wanted, JSON.stringify(lines))
  }
})

t.test('a twin that came through a trusted proxy is no field of the proxy', async (t) => {
  const fields = await sent(
    'X-Forwarded-For: 203.0.113.9\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n',
    'trusting',
  )
  t.strictSame(valuesOf(fields, 'x-forwarded-for'), ['203.0.113.9, 127.0.0.1'])
  for (const line of [
    'X_Forwarded_Proto: forged',
    'X_Forwarded_Host: forged',
    'X_Request_Id: forged',
    'X_Forwarded_Server: forged',
  ])
    t.notOk(
      (await sent(`${line}\r\n`, 'trusting')).some(([, value]) => value === 'forged'),
      line,
    )
  const all = [...fields, ...(await sent('x-forwarded-client_cert: kept\r\n', 'trusting'))]
  t.notOk(all.some(([, value]) => value.includes('6.6.6.6')))
  t.strictSame(valuesOf(all, 'x-forwarded-client_cert'), ['kept'], 'what follows the name of a family is its own')
  const target = '/twin/log'
  await roundTrip(rig.port('trusting'), get(target, 'X-Forwarded-For: 203.0.113.9\r\nX_Forwarded_For: 6.6.6.6\r\n'))
  const line = await logLine(target)
  t.match(line, '203.0.113.9')
  t.notMatch(line, '6.6.6.6')
})

t.test('the client in the access log is the rightmost hop that is not trusted', async (t) => {
  const rows = [
    ['/log/1', '203.0.113.9'],
    ['/log/2', '203.0.113.9, 10.1.1.1'],
    ['/log/3', '198.51.100.1, 203.0.113.9, 10.1.1.1, 10.2.2.2'],
  ] as const
  for (const [target, chain] of rows)
    await roundTrip(rig.port('trusting'), get(target, `X-Forwarded-For: ${chain}\r\n`))
  for (const [target, chain] of rows) {
    const line = await logLine(target)
    t.match(line, '203.0.113.9', chain)
    t.notMatch(line, '198.51.100.1', chain)
  }
})

/** The access log's line of a request, as text. */
async function logLine(target: string): Promise<string> {
  return eventually(`a log line of ${target}`, async () => {
    const line = (await rig.balancer.accessLog()).find((row) => JSON.stringify(row).includes(`${target}"`))
    return line === undefined ? undefined : JSON.stringify(line)
  })
}

t.test('Forwarded is added where it is asked for', async (t) => {
  const [value, ...more] = valuesOf(await sent('Forwarded: for=6.6.6.6\r\n', 'forwarded'), 'forwarded')
  t.strictSame(more, [])
  t.match(value, /for="?127\.0\.0\.1"?/i)
  t.match(value, /proto="?http"?/i)
  t.match(value, /host="?a\.test"?/i)
})

t.test('every request has an id of its own, which a client cannot choose', async (t) => {
  const ids = new Set<string>()
  for (const lines of ['', '', 'X-Request-Id: forged\r\n', 'x-request-id: forged\r\nX_Request_Id: forged\r\n']) {
    const fields = await sent(lines)
    const [id = '', ...more] = valuesOf(fields, 'x-request-id')
    t.match(id, /^[\w.:-]{8,}$/)
    t.strictSame(more, [])
    t.notOk(fields.some(([, value]) => value === 'forged'))
    ids.add(id)
  }
  t.equal(ids.size, 4)
  t.equal(valuesOf(await sent('X-Trace: forged\r\n', 'id'), 'x-trace').length, 1)
  t.not(valuesOf(await sent('X-Trace: forged\r\n', 'id'), 'x-trace')[0], 'forged')
  for (const twin of ['X_Trace', 'x_trace', 'X_TRACE'])
    t.notOk(
      (await sent(`${twin}: forged\r\n`, 'id')).some(([, value]) => value === 'forged'),
      `${twin}, a twin of another name`,
    )
  t.strictSame(valuesOf(await sent('', 'bare'), 'x-request-id'), [])
})

t.test('Via is added after those that are there', async (t) => {
  t.strictSame(valuesOf(await sent(''), 'via'), ['1.1 evenkeel'])
  const chain = valuesOf(await sent('Via: 1.0 fred, 1.1 p.test:80 (x)\r\n'), 'via').join(', ')
  t.equal(chain, '1.0 fred, 1.1 p.test:80 (x), 1.1 evenkeel')
  t.strictSame(valuesOf(await sent('', 'named'), 'via'), ['1.1 lb-a'])
  t.strictSame(valuesOf(await sent('', 'bare'), 'via'), [])
  t.strictSame(valuesOf(await sent('Via: 1.1 x\r\n', 'bare'), 'via'), ['1.1 x'])
})

t.test('a request that was here before is a loop: 508', async (t) => {
  const loops = [
    '1.1 lb-a',
    '1.0 lb-a',
    'HTTP/1.1 lb-a',
    '1.1 x, 1.1 lb-a',
    '1.1 lb-a, 1.1 x',
    '1.1 lb-a (comment)',
    '1.1 x,1.1 lb-a,1.1 y',
    '2 lb-a',
  ]
  const seen = rig.backend.heads.length
  for (const via of loops) t.equal((await roundTrip(rig.port('named'), get('/', `Via: ${via}\r\n`))).status, 508, via)
  const split = get('/', 'Via: 1.1 x\r\nX: y\r\nVia: 1.1 lb-a\r\n')
  t.equal((await roundTrip(rig.port('named'), split)).status, 508, 'in a second field')
  await rig.barrier()
  t.equal(rig.backend.heads.length, seen, 'nothing was passed on')
  for (const via of [
    '1.1 lb-ab',
    '1.1 xlb-a',
    '1.1 lb',
    '1.1 x (lb-a)',
    '1.1 evenkeel',
    '1.1 lb-a.test',
    '\xa0 1.1 lb-a',
  ])
    t.equal((await roundTrip(rig.port('named'), get('/', `Via: ${via}\r\n`))).status, 200, `${via} is another`)
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(rig.backend.faults, [])
})
