/** The other commands: run --demo, demo, schema and the help. */
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { jsonSchema } from '../../lib/config/index.ts'
import { type HttpResponse, httpRequest } from '../../lib/core/index.ts'
import type { Teardown } from '../support/backend.ts'
import { eventually, within } from '../support/eventually.ts'
import { folder, run, start } from './support.ts'

/**
 * A port of which the next two, and the three that are ten above, are free too: what the demo takes. From below those that the
 * kernel gives to connections, so that it stays free between two starts.
 */
async function demoPort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const servers: Server[] = []
    try {
      for (const offset of [0, 1, 2, 10, 11, 12]) servers.push(await listen(port + offset))
      return port
    } catch {
      // Somebody has one of them.
    } finally {
      for (const server of servers) server.close()
    }
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer()
  server.listen({ port, host: '127.0.0.1', exclusive: true })
  await once(server, 'listening')
  return server
}

async function demoFolder(t: Teardown, port: number): Promise<string> {
  const cwd = await folder(t)
  const backends = [0, 1, 2].map((n) => `127.0.0.1:${port + n}`)
  const service = { listen: ['127.0.0.1:0'], backends }
  const certificates = [{ cert: 'certs/localhost.pem', key: 'certs/localhost.key' }]
  const config = {
    version: 1,
    appliance: { threads: 1 },
    admin: { listen: '127.0.0.1:0' },
    accessLog: { format: 'off' },
    virtualServices: {
      secure: { ...service, protocol: 'https', tls: { certificates } },
      plain: { ...service, protocol: 'http' },
      lines: { ...service, protocol: 'tcp' },
    },
  }
  await writeFile(join(cwd, 'virtual-services.yaml'), JSON.stringify(config))
  return cwd
}

t.test('run --demo serves the demo backends with a certificate of its own, and says what to try', async (t) => {
  const port = await demoPort()
  const cwd = await demoFolder(t, port)
  const { child, stdout, ended } = await start(t, ['run', '--demo', '--demo-port', String(port)], { cwd })
  const text = await eventually('the banner', () => stdout().includes('\nTry\n') && stdout(), 15_000)
  t.match(text, /^evenkeel \d+\.\d+\.\d+ is running\n/)
  t.match(text, /^ {2}plain +http +127\.0\.0\.1:\d+$/m)
  t.match(text, /^ {2}admin +http +127\.0\.0\.1:\d+$/m)
  t.match(text, `backend-2: demo backend, http on port ${port + 1}, lines on port ${port + 11}`)
  t.match(text, /^ {2}nc localhost \d+$/m)
  t.match(text, /^ {2}node .*evenkeel\.js query --watch$/m)
  t.notMatch(text, '\x1b')
  const origin = /curl -k (https:\/\/localhost:\d+)\/\n/.exec(text)?.[1] ?? ''
  const connect = { ca: await readFile(join(cwd, 'certs/ca.pem'), 'utf8') }
  const answer: HttpResponse = await httpRequest({ origin, path: '/', connect })
  t.equal(answer.status, 200)
  t.match(answer.headers['x-backend'], /^backend-[123]$/)
  t.equal((await stat(join(cwd, 'certs/localhost.key'))).mode & 0o777, 0o600)
  child.kill('SIGTERM')
  t.equal((await within(ended, 'the end', 10_000)).code, 0)
})

t.test('run --demo --json prints the one line of JSON and nothing else', async (t) => {
  const port = await demoPort()
  const cwd = await demoFolder(t, port)
  const { child, stdout, ended } = await start(t, ['run', '--demo', '--json', '--demo-port', String(port)], { cwd })
  await eventually('the start', () => stdout().includes('\n'), 15_000)
  child.kill('SIGTERM')
  const end = await within(ended, 'the end', 10_000)
  t.equal(end.stdout.indexOf('\n'), end.stdout.length - 1)
  const started = JSON.parse(end.stdout) as { event: string; admin: string; listeners: object }
  t.equal(started.event, 'started')
  t.same(Object.keys(started.listeners), ['secure', 'plain', 'lines'])
})

t.test('run --demo leaves a certificate that is there alone', async (t) => {
  const port = await demoPort()
  const cwd = await demoFolder(t, port)
  const first = await start(t, ['run', '--demo', '--json', '--demo-port', String(port)], { cwd })
  await eventually('the start', () => first.stdout().includes('\n'), 15_000)
  const made = await readFile(join(cwd, 'certs/localhost.pem'), 'utf8')
  first.child.kill('SIGTERM')
  await within(first.ended, 'the end', 10_000)
  const second = await start(t, ['run', '--demo', '--json', '--demo-port', String(port)], { cwd })
  await eventually('the start', () => second.stdout().includes('\n'), 15_000)
  t.equal(await readFile(join(cwd, 'certs/localhost.pem'), 'utf8'), made)
})

t.test('run --demo names the port of the demo that is in use', async (t) => {
  const port = await demoPort()
  const holder = await listen(port + 1)
  t.teardown(() => holder.close())
  const cwd = await demoFolder(t, port)
  const { code, stdout, stderr } = await run(t, ['run', '--demo', '--demo-port', String(port)], { cwd })
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(stderr, `evenkeel: demo backend-2 can't listen on 127.0.0.1:${port + 1}: port ${port + 1} is in use`)
})

t.test('without --demo nothing is made: a missing certificate is a failed start', async (t) => {
  const cwd = await demoFolder(t, await demoPort())
  const { code, stderr } = await run(t, ['run'], { cwd })
  t.equal(code, 1)
  t.match(stderr, 'certs/localhost.pem')
})

t.test('demo runs as many backends as asked for, until a signal', async (t) => {
  const { child, stdout, ended } = await start(t, ['demo', '--port', '0', '--count', '2'])
  const text = await eventually('two lines', () => stdout().split('\n').length === 3 && stdout())
  const origins = [...text.matchAll(/^backend-\d {2}(http:\/\/127\.0\.0\.1:\d+) {2}tcp 127\.0\.0\.1:\d+$/gm)]
  t.equal(origins.length, 2)
  for (const [i, [, origin = '']] of origins.entries())
    t.equal((await httpRequest({ origin, path: '/' })).headers['x-backend'], `backend-${i + 1}`)
  child.kill('SIGTERM')
  t.equal((await within(ended, 'the end')).code, 0)
})

t.test('demo refuses what it can not do', async (t) => {
  for (const args of [
    ['--count', '0'],
    ['--count', '11'],
    ['--port', '65536'],
    ['--port', 'x'],
  ])
    t.equal((await run(t, ['demo', ...args])).code, 2, args.join(' '))
  const holder = await listen(0)
  t.teardown(() => holder.close())
  const { port } = holder.address() as { port: number }
  const { code, stderr } = await run(t, ['demo', '--port', String(port)])
  t.equal(code, 1)
  t.match(stderr, `port ${port} is in use`)
})

t.test('schema prints the JSON Schema of the configuration', async (t) => {
  const { code, stdout } = await run(t, ['schema'])
  t.equal(code, 0)
  t.same(JSON.parse(stdout), JSON.parse(JSON.stringify(jsonSchema())))
})

t.test('each command has a help with an example', async (t) => {
  const { stdout } = await run(t, ['--help'])
  const commands = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name)
  t.ok(commands.length >= 6, commands.join(' '))
  for (const name of commands) {
    if (name === undefined || name === 'help') continue
    const help = await run(t, [name, '--help'])
    t.equal(help.code, 0)
    t.match(help.stdout, `\n  evenkeel ${name}`)
  }
})

t.test('an unknown command is exit code 2', async (t) => {
  const { code, stderr } = await run(t, ['qurey'])
  t.equal(code, 2)
  t.match(stderr, 'query')
})
