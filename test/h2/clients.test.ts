/** HTTP/2 as nghttp, h2load, curl and node:http2 speak it, in clear text and over TLS: what they ask for they get, whole. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { MIB } from '../e2e/fixtures/support.ts'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFronts } from './fixtures/fronts.ts'

const execute = promisify(execFile)
/** Output as latin1. */
const run = async (command: string, args: readonly string[]): Promise<string> => {
  const { stdout } = await execute(command, args, { encoding: 'latin1', maxBuffer: 16 * MIB, timeout: 20_000 })
  return stdout
}
const installed = (name: string): boolean => {
  try {
    execFileSync('which', [name], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const noNghttp = !installed('h2load') && 'needs nghttp2-client'
const noCurl = !installed('curl') && 'needs curl'

const folder = mkdtempSync(join(tmpdir(), 'evenkeel-h2-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const file = join(folder, 'content')
const content = randomBytes(MIB)
writeFileSync(file, content)
const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

const backend = await startBackend(t)
backend.on('/echo', (x) => {
  const { bytes } = x.request.reader
  x.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  x.write(bytes)
})
backend.on('/head', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n'))
backend.onHeadOf('/early', (x) => x.answer('early', '', '403 Forbidden'))
backend.onHeadOf('/endless', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nhalf'))
const { balancer, fronts } = await startFronts(t, backend)

const urls = { h2c: `http://127.0.0.1:${balancer.port('main')}`, h2: `https://127.0.0.1:${balancer.port('secure')}` }
/** A request to this target whose client is gone is given up at the backend too. */
async function givenUp(target: string): Promise<void> {
  const { connection } = await eventually('the request', () => backend.heads.findLast((h) => h.target === target))
  await connection.untilClosed()
}

for (const { name } of fronts) {
  const url = name === 'h2' ? urls.h2 : urls.h2c

  t.test(`nghttp over ${name}`, { skip: noNghttp }, async (t) => {
    const verbose = await run('nghttp', ['-nv', `${url}/a`])
    t.match(verbose, /recv \(stream_id=\d+\) :status: 200/)
    t.match(verbose, /recv SETTINGS frame <length=0, flags=0x01/, 'its SETTINGS are acknowledged')
    t.notMatch(verbose, /RST_STREAM|PUSH_PROMISE|error_code=(?!NO_ERROR)/)
    t.match(await run('nghttp', ['-nv', '-H:method: HEAD', `${url}/head`]), /content-length: 12345/)
    t.equal(hash(Buffer.from(await run('nghttp', ['-d', file, `${url}/echo`]), 'latin1')), hash(content), 'up and down')
    t.equal(backend.last('/echo').framing, 'length')
    const unknown = await run('nghttp', ['--no-content-length', '-d', file, '--trailer', 'x-mine: 1', `${url}/echo`])
    t.equal(hash(Buffer.from(unknown, 'latin1')), hash(content), 'without a length')
    t.match(
      backend.last('/echo').reader.trailers.map(([field, value]) => [field.toLowerCase(), value]),
      [['x-mine', '1']],
    )
    const small = await run('nghttp', ['-w', '10', '-W', '12', '-b', '50', '-d', file, `${url}/echo`])
    t.equal(hash(Buffer.from(small, 'latin1')), hash(content), 'windows of 1 KiB and 4 KiB, padded')
    t.match(await run('nghttp', ['-nv', '-c', '0', `${url}/a`]), /:status: 200/, 'without a header table')
    const expected = await run('nghttp', ['-v', '-n', '--expect-continue', '-d', file, `${url}/echo`])
    t.match(expected, /:status: 100/)
    const many = await run('nghttp', ['-nv', '-m', '300', `${url}/many`])
    t.equal(many.match(/:status: 200/g)?.length, 300, 'three times as many as there are streams')
    t.match(await run('nghttp', ['-nv', '-d', file, `${url}/early`]), /:status: 403/)
  })

  t.test(`h2load over ${name}`, { skip: noNghttp }, async (t) => {
    const load = (...args: string[]): Promise<string> => run('h2load', ['-n', '400', '-c', '4', '-m', '25', ...args])
    t.match(await load(`${url}/load`), /400 succeeded, 0 failed, 0 errored, 0 timeout/)
    const small = join(folder, 'small')
    writeFileSync(small, content.subarray(0, 20_000))
    t.match(await load('-d', small, `${url}/echo`), /400 succeeded, 0 failed, 0 errored, 0 timeout/)
  })

  t.test(`curl over ${name}`, { skip: noCurl }, async (t) => {
    const curl = (...args: string[]): Promise<string> =>
      run('curl', ['-sk', name === 'h2' ? '--http2' : '--http2-prior-knowledge', ...args])
    const told = '%{http_version} %{http_code} %{exitcode}'
    t.match(await curl('-w', ` ${told}`, `${url}/a`), / 2 200 0$/)
    t.match(await curl('-I', `${url}/head`), /^HTTP\/2 200[\s\S]*content-length: 12345/)
    const out = join(folder, `out-${name}`)
    t.equal(await curl('--data-binary', `@${file}`, '-o', out, '-w', told, `${url}/echo`), '2 200 0')
    t.equal(hash(readFileSync(out)), hash(content))
    const put = ['-X', 'PUT', '--data-binary', `@${file}`, '-H', 'Expect: 100-continue']
    t.equal(await curl(...put, '-o', out, '-w', told, `${url}/echo`), '2 200 0')
    t.equal(hash(readFileSync(out)), hash(content), 'with an expectation')
    t.match(
      await curl('--data-binary', `@${file}`, '-w', told, `${url}/early`),
      /^early2 403 0$/,
      'an answer in mid-body',
    )
    // In clear text this curl breaks off with any server.
    if (name === 'h2') {
      const many = await curl('-Z', '--parallel-max', '50', '-o', '/dev/null', '-w', `${told}\n`, `${url}/many?[1-150]`)
      t.same([...new Set(many.trim().split('\n'))], ['2 200 0'])
    }
    const child = spawn('curl', ['-skN', name === 'h2' ? '--http2' : '--http2-prior-knowledge', `${url}/endless`])
    await within(new Promise((resolve) => child.stdout.once('data', resolve)), 'the first bytes')
    child.kill()
    await givenUp('/endless')
  })
}

t.test('an offer to switch to h2c is passed over', { skip: noCurl }, async (t) => {
  t.match(await run('curl', ['-s', '--http2', '-w', ' %{http_version} %{http_code}', `${urls.h2c}/a`]), / 1\.1 200$/)
  t.notMatch(backend.requests.at(-1)?.head, /upgrade|http2-settings/i)
})

t.test('node:http2 in clear text: a drain ends the session when its requests have their answers', async (t) => {
  const own = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        http: { http2: { cleartext: true } },
        health: { type: 'none' },
        backends: [backend.address],
      },
    },
  })
  let release = (): void => undefined
  const released = new Promise<void>((resolve) => (release = resolve))
  backend.on('/late', async (x) => {
    await released
    x.answer('late')
  })
  const session = connect(`http://127.0.0.1:${own.port('main')}`)
  t.teardown(() => session.destroy())
  const problems: string[] = []
  session.on('error', (error) => problems.push(error.message))
  const goaways: number[] = []
  session.on('goaway', (code) => goaways.push(code))
  const closed = new Promise((resolve) => session.once('close', resolve))
  const streams = Array.from({ length: 5 }, () => session.request({ ':path': '/late' }))
  const bodies = streams.map(
    (stream) =>
      new Promise<string>((resolve, reject) => {
        let text = ''
        stream.setEncoding('latin1')
        stream.on('data', (piece: string) => (text += piece))
        stream.on('end', () => resolve(text))
        stream.on('error', reject)
      }),
  )
  await eventually('the requests', () => backend.requests.filter(({ target }) => target === '/late').length === 5)
  const ended = own.stop()
  await eventually('the last word', () => goaways.length > 0)
  release()
  t.same(
    await within(Promise.all(bodies), 'the answers'),
    Array.from({ length: 5 }, () => 'late'),
  )
  await within(closed, 'the end of the session')
  t.same([problems, [...new Set(goaways)]], [[], [0]])
  t.equal((await ended).code, 0)
})
