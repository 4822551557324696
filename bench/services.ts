/**
 * What a large configuration costs: `node bench/services.ts [--services 1000] [--seconds 20]`. Services of ten backends each, tcp
 * probes every 2 s: how long a start takes, whether the probes keep their interval, and the CPU time of the control thread.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseSchedstat } from './cpu.ts'
import { freePorts } from './net.ts'
import { startEvenkeel } from './peers/evenkeel.ts'
import { LOAD_CORE, Processes } from './processes.ts'

const BACKENDS = 10
const INTERVAL_S = 2
const SETTLE_MS = 6000 // the first probes are over, and what was compiled meanwhile

const { values } = parseArgs({ options: { services: { type: 'string' }, seconds: { type: 'string' } } })
const services = Number(values.services ?? 1000)
const seconds = Number(values.seconds ?? 20)
if (!(services >= 1 && seconds >= 1)) throw new Error('--services and --seconds: numbers from 1')

execFileSync('taskset', ['-apc', String(LOAD_CORE), String(process.pid)])
const folder = mkdtempSync(join(tmpdir(), 'evenkeel-services-'))
const processes = new Processes(folder)
let probes = 0
const [port = 0] = await freePorts(1)
const addresses = Array.from({ length: BACKENDS }, (_, i) => `127.0.0.${i + 1}`)
const servers = addresses.map((host) =>
  createServer((socket) => {
    probes++
    socket.on('error', () => {})
    socket.resume()
  }).listen({ port, host, backlog: 4096 }),
)
try {
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const backends = addresses.map((host) => `${host}:${port}`).join(', ')
  const service = (i: number): string =>
    `  s${i}: { listen: ["127.0.0.1:0"], protocol: tcp, backends: [${backends}], health: { type: tcp, interval: ${INTERVAL_S}s } }`
  const all = Array.from({ length: services }, (_, i) => service(i)).join('\n')
  const config = `version: 1\nappliance: { threads: 1 }\nadmin: { listen: 127.0.0.1:0 }\naccessLog: { format: off }\nvirtualServices:\n${all}\n`
  const begun = performance.now()
  const { process: started } = await startEvenkeel({ processes, folder, signal: AbortSignal.timeout(60_000) }, config)
  const startMs = performance.now() - begun
  const cpu = (task: number): number =>
    parseSchedstat(readFileSync(`/proc/${started.pid}/task/${task}/schedstat`, 'utf8')) / 1e9
  await delay(SETTLE_MS)
  const before = { at: performance.now(), probes, cpu: cpu(started.pid) }
  await delay(seconds * 1000)
  const passed = (performance.now() - before.at) / 1000
  const rate = (probes - before.probes) / passed
  console.log(`${services} services with ${BACKENDS} backends each, a probe of each every ${INTERVAL_S} s`)
  console.log(`  from the command to "started"   ${(startMs / 1000).toFixed(2)} s`)
  console.log(
    `  probes at the backends          ${rate.toFixed(0)}/s of ${((services * BACKENDS) / INTERVAL_S).toFixed(0)}/s`,
  )
  console.log(
    `  CPU of the control thread       ${(((cpu(started.pid) - before.cpu) / passed) * 100).toFixed(1)} % of a core`,
  )
} finally {
  await processes.stopAll()
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0) // probes that were under way keep their sockets
