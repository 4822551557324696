/**
 * What millions of requests leave behind: `npm run endurance -- [--requests 5000000]`. HTTP keep-alive with 1 KiB bodies as fast as
 * it goes; after each tenth the load stops, and resident memory and the data thread's heap and buffers are read at rest.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startBackends } from './backends.ts'
import { makeCertificate } from './certificate.ts'
import { readMemory } from './cpu.ts'
import { problemsOf, runLoad } from './load.ts'
import { startEvenkeel } from './peers/evenkeel.ts'
import { fetchText } from './preflight.ts'
import { Processes } from './processes.ts'
import { SCENARIOS } from './scenarios.ts'

const PARTS = 10
const STEP_S = 5
const REST_MS = 3000
const MIB = 1024 * 1024

const { values } = parseArgs({ options: { requests: { type: 'string', default: '5000000' } } })
const wanted = Number(values.requests)
if (!Number.isInteger(wanted) || wanted < PARTS) {
  console.error(`--requests takes a number from ${PARTS} on`)
  process.exit(2)
}

const configOf = (backends: readonly number[]): string => `version: 1
appliance: { threads: 1, drain: { timeout: 1s } }
admin: { listen: 127.0.0.1:0 }
accessLog: { path: /dev/null, format: json }
virtualServices:
  web:
    listen: ["127.0.0.1:0"]
    protocol: http
    backends: [${backends.map((port) => `127.0.0.1:${port}`).join(', ')}]
`

async function held(admin: string): Promise<number> {
  const metrics = await fetchText(admin, '/metrics')
  return Number(/^evenkeel_data_thread_memory_bytes\{[^}]*\} (\S+)$/m.exec(metrics)?.[1] ?? Number.NaN)
}

const folder = mkdtempSync(join(tmpdir(), 'evenkeel-endurance-'))
const processes = new Processes(folder)
const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')))
const { signal } = interrupt
try {
  mkdirSync(join(folder, 'load'))
  const backends = await startBackends(processes, join(folder, 'load'), makeCertificate(folder), signal)
  const { process: balancer, line } = await startEvenkeel({ processes, folder, signal }, configOf(backends.ports))
  const { admin, listeners }: { admin: string; listeners: Record<string, string[]> } = JSON.parse(line)
  const scenario = SCENARIOS.find(({ name }) => name === 'http-1k')
  if (scenario === undefined) throw new Error('there is no scenario http-1k')
  let done = 0
  let problems = 0
  console.log('| requests | resident MiB | heap and buffers of the data thread, MiB |')
  console.log('| ---: | ---: | ---: |')
  for (let part = 1; part <= PARTS; part++) {
    while (done < (wanted * part) / PARTS) {
      const result = await runLoad(processes, listeners['web']?.[0] ?? '', scenario, STEP_S, signal)
      done += result.requests
      for (const problem of problemsOf(result)) console.log(`broken: ${problem}`, ++problems)
    }
    await delay(REST_MS, undefined, { signal })
    const [resident, thread] = [readMemory(balancer.pid), await held(admin)]
    console.log(`| ${done.toLocaleString('en')} | ${(resident / MIB).toFixed(1)} | ${(thread / MIB).toFixed(1)} |`)
  }
  process.exitCode = problems > 0 ? 1 : 0
} finally {
  await processes.stopAll()
  rmSync(folder, { recursive: true, force: true })
}
