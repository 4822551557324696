/**
 * Has one process come in another's place, again and again, while wrk asks on new and on kept connections and echoing streams stay open,
 * and tells what was refused, failed or cut: `npm run upgrades -- [--upgrades 20]`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { upgrade } from '../test/e2e/fixtures/upgrades.ts'
import { startTcpBackend } from '../test/support/backend.ts'
import { startBalancer } from '../test/support/balancer.ts'
import { connect, type RawClient } from '../test/support/raw.ts'
import { type LoadResult, parseLoad, problemsOf } from './load.ts'

const SCRIPT = fileURLToPath(new URL('wrk.lua', import.meta.url))
const CONNECTIONS = 20
const STREAMS = 50
const EACH_S = 4 // what an upgrade takes on a busy machine, and a while between two
const REST_MS = 500

const { values } = parseArgs({ options: { upgrades: { type: 'string', default: '20' } } })
const upgrades = Number(values.upgrades)
if (!Number.isInteger(upgrades) || upgrades < 1) {
  console.error('--upgrades takes a number from 1 on')
  process.exit(2)
}
process.setMaxListeners(0) // each process that is started is to be killed with us
const undo: (() => unknown)[] = []
const t = { teardown: (fn: () => unknown): void => void undo.push(fn) }

/** wrk against an address, until it is told to stop; then what it measured. */
function load(url: string, fields: readonly string[]): { stop(): Promise<LoadResult> } {
  const headers = fields.flatMap((field) => ['-H', field])
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${upgrades * EACH_S * 10}`, '-s', SCRIPT, ...headers, url]
  const child = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const said = text(child.stdout)
  return {
    async stop() {
      child.kill('SIGINT') // it reports what it has until then
      return parseLoad(await said)
    },
  }
}

async function echoed(stream: RawClient, word: string): Promise<boolean> {
  stream.send(word)
  return (await stream.readBytes(word.length).catch(() => '')).toString() === word
}

try {
  const backend = createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.teardown(() => {
    backend.closeAllConnections()
    backend.close()
  })
  const address = backend.address()
  const echo = await startTcpBackend(t)
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const listen = ['127.0.0.1:0']
  const health = { type: 'none' }
  const balancer = await startBalancer(t, {
    appliance: { threads: 2, drain: { timeout: '10m' } },
    virtualServices: {
      web: { listen, protocol: 'http', health, backends: [`127.0.0.1:${port}`] },
      raw: { listen, protocol: 'tcp', health, backends: [echo.address] },
    },
  })
  const url = `http://127.0.0.1:${balancer.port('web')}/`
  const loads = { 'new connections': load(url, ['Connection: close']), 'kept connections': load(url, []) }
  const streams: RawClient[] = []
  while (streams.length < STREAMS) streams.push(await connect(balancer.port('raw')))
  const migrates = (await readFile('/proc/sys/net/ipv4/tcp_migrate_req', 'latin1').catch(() => '?')).trim()
  let failed = 0
  let cut = 0
  const times: number[] = []
  for (let i = 1; i <= upgrades; i++) {
    await pause(REST_MS)
    const { result, sentence, tookMs } = await upgrade(t, balancer, { timeout: '60s' })
    if (result !== 'done') console.log(sentence)
    if (result !== 'done') failed++
    times.push(tookMs)
    const heard = await Promise.all(streams.map((stream) => echoed(stream, `after ${i}`)))
    cut += heard.filter((good) => !good).length
  }
  await pause(REST_MS)
  const took = `${Math.min(...times)} to ${Math.max(...times)} ms each`
  console.log(`${upgrades} upgrades, ${failed} failed, ${took}; net.ipv4.tcp_migrate_req is ${migrates}`)
  console.log(`${STREAMS} TCP streams open since before the first: ${cut} echoes missing`)
  for (const [what, { stop }] of Object.entries(loads)) {
    const result = await stop()
    const problems = problemsOf(result)
    console.log(`${what}: ${result.requests} requests, ${problems.length === 0 ? 'none failed' : problems.join(', ')}`)
    if (problems.length > 0) process.exitCode = 1
  }
  if (failed + cut > 0) process.exitCode = 1
} finally {
  for (const fn of undo.reverse()) await fn()
}
