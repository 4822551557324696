/** The siege's command: hostile clients against evenkeel, and whether it kept what it promises. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startBackends } from './backends.ts'
import { makeCertificate } from './certificate.ts'
import { runLoad } from './load.ts'
import type { Peer } from './peers/index.ts'
import { Processes } from './processes.ts'
import { SCENARIOS } from './scenarios.ts'
import {
  ATTACKS,
  type Attack,
  type Finding,
  RIVALS,
  type Siege,
  startRival,
  startSink,
  startTarget,
  warmUp,
} from './siege/index.ts'

const USAGE = `usage: node bench/siege.ts [options]
  --only A,B        attacks: ${ATTACKS.map(({ name }) => name).join(', ')} (all)
  --connections N   slow heads at a time (5000)
  --seconds N       length of the malformed requests (30)
  --aborts N        aborts in each direction (1000)
  --beside A        do the floods to another balancer as well: ${RIVALS.map(({ name }) => name).join(', ')}
  --json FILE       write all findings
`
const WARMUP_S = 3

const print = (line: string) => void process.stderr.write(`${line}\n`)

/** A command line that can't be understood. */
class UsageError extends Error {}

interface Options {
  readonly attacks: readonly Attack[]
  readonly connections: number
  readonly seconds: number
  readonly aborts: number
  readonly beside: Peer | undefined
  readonly json: string | undefined
}

function parseOptions(args: string[]): Options {
  const string = { type: 'string' } as const
  const options = { only: string, connections: string, seconds: string, aborts: string, beside: string, json: string }
  try {
    const { values } = parseArgs({ args, options })
    const count = (name: 'connections' | 'seconds' | 'aborts', fallback: number): number => {
      const value = Number(values[name] ?? fallback)
      if (Number.isInteger(value) && value > 0) return value
      throw new Error(`--${name} ${values[name]}: expected a whole number from 1`)
    }
    const names = values.only?.split(',') ?? ATTACKS.map(({ name }) => name)
    const unknown = names.find((name) => !ATTACKS.some((attack) => attack.name === name))
    if (unknown !== undefined) throw new Error(`--only ${unknown}: no such attack`)
    const beside = RIVALS.find(({ name }) => name === values.beside)
    if (beside === undefined && values.beside !== undefined)
      throw new Error(`--beside ${values.beside}: no such balancer`)
    return {
      attacks: ATTACKS.filter(({ name }) => names.includes(name)),
      connections: count('connections', 5000),
      seconds: count('seconds', 30),
      aborts: count('aborts', 1000),
      beside,
      json: values.json,
    }
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

type Findings = Readonly<Record<string, readonly Finding[]>>

async function run(options: Options, signal: AbortSignal): Promise<Findings> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-siege-'))
  const processes = new Processes(folder)
  const sink = await startSink()
  const findings: Record<string, readonly Finding[]> = {}
  try {
    mkdirSync(join(folder, 'load'))
    const certificate = makeCertificate(folder)
    const backends = await startBackends(processes, join(folder, 'load'), certificate, signal)
    const target = await startTarget(processes, folder, backends.ports, sink.port, certificate, signal)
    mkdirSync(join(folder, 'rival'))
    const setup = { processes, folder: join(folder, 'rival'), backends: backends.ports, certificate, signal }
    const rival = options.beside === undefined ? null : await startRival(options.beside, setup)
    const [scenario] = SCENARIOS
    if (scenario !== undefined) await runLoad(processes, target.web, scenario, WARMUP_S, signal)
    const siege = (name: string): Siege => {
      const note = (line: string) => print(`${name}: ${line}`)
      return { ...options, processes, target, rival, signal, note }
    }
    const tell = (name: string, found: readonly Finding[]): void => {
      findings[name] = found
      for (const { what, seen, kept } of found) print(`${name}: ${kept ? '' : 'BROKEN: '}${what}: ${seen}`)
    }
    print('warming up')
    tell('warm-up', await warmUp(siege('warm-up')))
    for (const attack of options.attacks) {
      const missing = attack.missing()
      if (missing === undefined) tell(attack.name, await attack.run(siege(attack.name)))
      else print(`leaving out ${attack.name}: ${missing}`)
    }
    return findings
  } finally {
    await processes.stopAll()
    sink.server.closeAllConnections()
    sink.server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function render(findings: Findings): string {
  const lines = ['| attack | what | seen | promised | |', '| --- | --- | ---: | --- | --- |']
  for (const [name, all] of Object.entries(findings)) {
    for (const { what, seen, promise, kept } of all) {
      const verdict = promise === undefined ? '' : kept ? 'kept' : '**broken**'
      lines.push(`| ${name} | ${what} | ${seen} | ${promise ?? ''} | ${verdict} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

async function main(args: string[]): Promise<number> {
  const interrupt = new AbortController()
  try {
    if (args.includes('--help')) {
      process.stdout.write(USAGE)
      return 0
    }
    const options = parseOptions(args)
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupt.abort())
    const findings = await run(options, interrupt.signal)
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(findings, null, 2)}\n`)
    process.stdout.write(render(findings))
    return Object.values(findings).every((all) => all.every(({ kept }) => kept)) ? 0 : 1
  } catch (error) {
    if (interrupt.signal.aborted) return 130
    if (error instanceof UsageError) {
      print(`${error.message}\n${USAGE}`)
      return 2
    }
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) print(cause.message)
    return 1
  }
}

process.exitCode = await main(process.argv.slice(2))
