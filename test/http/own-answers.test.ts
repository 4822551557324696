/** The answers that the balancer makes itself: short, in the form asked for, and telling nothing. */
import t from 'tap'
import { refusedPort } from '../support/backend.ts'
import { get, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { type RawResponse, roundTrip } from '../support/raw.ts'

const dead = await refusedPort()
const rig = await startRig(t, { gone: { backends: [`127.0.0.1:${dead}`] } })
const MARK = 'secret-input'

const own: Record<string, (fields: string) => Promise<RawResponse>> = {
  400: (fields) => roundTrip(rig.port(), get(`/${MARK}`, `${fields}${MARK} : x\r\n`)),
  405: (fields) => roundTrip(rig.port(), get(`/${MARK}`, fields).replace('GET', 'TRACE')),
  414: (fields) => roundTrip(rig.port(), get(`/${MARK.repeat(1000)}`, fields)),
  417: (fields) => roundTrip(rig.port(), get(`/${MARK}`, `${fields}Expect: ${MARK}\r\n`)),
  431: (fields) => roundTrip(rig.port(), get(`/${MARK}`, `${fields}${`X: ${MARK}\r\n`.repeat(200)}`)),
  501: (fields) => roundTrip(rig.port(), get(`/${MARK}`, `${fields}Transfer-Encoding: ${MARK}\r\n`)),
  502: (fields) => roundTrip(rig.port(), get('/broken', `${fields}X: ${MARK}\r\n`)),
  505: (fields) => roundTrip(rig.port(), get(`/${MARK}`, fields).replace('HTTP/1.1', 'HTTP/2.0')),
  508: (fields) => roundTrip(rig.port(), get(`/${MARK}`, `${fields}Via: 1.1 evenkeel\r\n`)),
}
rig.backend.on('/broken', (x) => x.write(`${MARK} broken\r\n\r\n`))

t.test('each has its status, a length or none, a date, and nothing of what was sent', async (t) => {
  for (const [status, ask] of Object.entries(own)) {
    const response = await ask('')
    t.equal(response.status, Number(status))
    t.equal(valuesOf(response.fields, 'date').length, 1, `${status} has a Date`)
    t.equal(response.framing, 'length')
    t.ok(response.body.length > 0 && response.body.length < 1024, `${status} is short`)
    const all = response.text + response.body.toString('latin1')
    t.notMatch(all, MARK, `${status} does not repeat the input`)
    t.notMatch(all, /\bat .*:\d+|node:|\.ts\b|\.js\b|Error:/, `${status} has no stack`)
    t.notOk(all.includes(rig.backend.address) || all.includes(String(rig.backend.port)), `${status} names no backend`)
  }
})

t.test('a backend that cannot be reached is not named', async (t) => {
  const response = await roundTrip(rig.port('gone'), get('/'))
  t.ok([502, 503].includes(response.status))
  const all = response.text + response.body.toString('latin1')
  t.notMatch(all, /ECONN|127\.0\.0\.1/)
  t.notMatch(all, String(dead))
})

t.test('JSON for who asks for JSON, text for everyone else', async (t) => {
  for (const accept of ['application/json', 'application/json;q=0.9', 'text/plain;q=0.1, application/json']) {
    const response = await roundTrip(rig.port('gone'), get('/', `Accept: ${accept}\r\n`))
    t.match(valuesOf(response.fields, 'content-type').join(), /^application\/(?:problem\+)?json/)
    t.type(JSON.parse(response.body.toString()), 'object', accept)
  }
  for (const fields of [
    '',
    'Accept: */*\r\n',
    'Accept: text/html\r\n',
    'Accept: text/plain\r\n',
    'Accept: image/png\r\n',
  ]) {
    const response = await roundTrip(rig.port('gone'), get('/', fields))
    t.match(valuesOf(response.fields, 'content-type').join(), /^text\/plain/, JSON.stringify(fields))
  }
})

t.test('it carries the request id that the log has too', async (t) => {
  const response = await roundTrip(rig.port('gone'), get('/with-id', 'Accept: application/json\r\n'))
  const all = response.text + response.body.toString()
  const ids = all.match(/[0-9A-Za-z][0-9A-Za-z_.-]{11,}/g) ?? []
  const deadline = performance.now() + 3000
  let found = false
  while (!found && performance.now() < deadline) {
    const line = (await rig.balancer.accessLog())
      .map((row) => JSON.stringify(row))
      .find((row) => row.includes('/with-id'))
    found = line !== undefined && ids.some((id) => line.includes(`"${id}"`))
    await rig.barrier()
  }
  t.ok(found, `one of ${ids} is in the access log`)
})

t.test('HEAD gets the head alone', async (t) => {
  const client = await rig.connect('gone')
  client.send('HEAD / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
  const response = await client.readResponse({ method: 'HEAD' })
  t.ok([502, 503].includes(response.status))
  t.equal((await client.readUntilClose()).length, 0)
})

t.test('a HTTP/1.0 client is answered too', async (t) => {
  const client = await rig.connect('gone')
  client.send('GET / HTTP/1.0\r\n\r\n')
  t.ok([502, 503].includes((await client.readResponse()).status))
  t.equal((await client.readUntilClose()).length, 0)
})
