/** HTTP/2 towards the servers that people run: nginx, haproxy, nghttpd. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectH2 } from 'node:http2'
import { connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { needs, nginxPaths, startHaproxy, startNginx } from '../proxy-protocol/fixtures/peers.ts'
import { refusedPort, type Teardown } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'

const MIB = 1024 * 1024
const content = Buffer.alloc(3 * MIB, 'content ')

/** Content of any size, small answers many at a time, HEAD, and an upload. */
async function serves(t: Test, address: string, small: string, large: string, upload: string | null): Promise<void> {
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        http: { http2: { cleartext: true } },
        health: { type: 'none' },
        backendProtocol: 'h2c',
        backends: [address],
      },
    },
  })
  const url = `http://127.0.0.1:${balancer.port('main')}`
  const answers = await Promise.all(Array.from({ length: 200 }, () => fetch(`${url}${small}`)))
  for (const answer of answers) if (answer.status !== 200) t.fail(`status ${answer.status}`)
  t.equal(new Set(await Promise.all(answers.map((answer) => answer.text()))).size, 1)
  t.equal((await fetch(`${url}${small}`, { method: 'HEAD' })).status, 200)
  t.equal((await fetch(`${url}/not-there`)).status, 404)
  const whole = Buffer.from(await (await fetch(`${url}${large}`)).arrayBuffer())
  t.ok(whole.equals(content), 'all of a large answer')
  if (upload !== null) t.equal((await fetch(`${url}${upload}`, { method: 'POST', body: content })).status, 200)
  const session = connectH2(url)
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': large })
  let bytes = 0
  stream.on('data', (piece: Buffer) => (bytes += piece.length))
  await within(new Promise((resolve) => stream.on('end', resolve)), 'a large answer')
  t.equal(bytes, content.length, 'over HTTP/2 too')
}
type Test = Teardown & typeof t

t.test('nginx', { skip: needs('nginx') }, async (t) => {
  const { ports, dir } = await startNginx(
    t,
    1,
    (setup) => `http {
  ${nginxPaths(setup)}
  server {
    listen 127.0.0.1:${setup.ports[0]} http2;
    root ${setup.dir};
    client_max_body_size 10m;
    location = /small { return 200 "small"; }
    location /not-there { return 404; }
    location /upload { return 200 "taken"; }
  }
}
`,
  )
  await writeFile(join(dir, 'large'), content)
  await serves(t as unknown as Test, `127.0.0.1:${ports[0]}`, '/small', '/large', '/upload')
})

t.test('haproxy, with nginx behind it', { skip: needs('haproxy') || needs('nginx') }, async (t) => {
  const { ports: behind, dir } = await startNginx(
    t,
    1,
    (setup) => `http {
  ${nginxPaths(setup)}
  server {
    listen 127.0.0.1:${setup.ports[0]};
    root ${setup.dir};
    client_max_body_size 10m;
    location = /small { return 200 "small"; }
    location /upload { return 200 "taken"; }
  }
}
`,
  )
  await writeFile(join(dir, 'large'), content)
  const { ports } = await startHaproxy(
    t,
    1,
    {},
    ({ ports }) => `frontend in
  mode http
  bind 127.0.0.1:${ports[0]} proto h2
  default_backend web
backend web
  mode http
  server one 127.0.0.1:${behind[0]}
`,
  )
  await serves(t as unknown as Test, `127.0.0.1:${ports[0]}`, '/small', '/large', '/upload')
})

const noNghttpd = spawnSync('nghttpd', ['--version']).error === undefined ? false : 'needs nghttp2-server'

t.test('nghttpd', { skip: noNghttpd }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-nghttpd-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await writeFile(join(dir, 'large'), content)
  await writeFile(join(dir, 'small'), 'small')
  const port = await refusedPort()
  const child = spawn('nghttpd', ['--no-tls', '-a', '127.0.0.1', '-d', dir, '-m', '20', String(port)])
  t.teardown(() => child.kill('SIGKILL'))
  await eventually(
    'nghttpd listens',
    () =>
      new Promise<boolean>((resolve) => {
        const socket = dial({ port, host: '127.0.0.1' })
        socket.on('connect', () => resolve(socket.destroy() !== undefined))
        socket.on('error', () => resolve(false))
      }),
  )
  await serves(t as unknown as Test, `127.0.0.1:${port}`, '/small', '/large', null)
})
