/**
 * Clients against a balancer while backends, network, disk, operators and the balancer's own threads fail, by a schedule
 * that a seed repeats: `npm run chaos -- [--seed N] [--seconds N]`.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Campaign, type Report, run } from './chaos/campaign.ts'
import type { Mix } from './chaos/clients.ts'
import { type Mutations, mutate } from './chaos/mutations.ts'
import { runInside } from './chaos/network.ts'
import { SCENES, type Scene } from './chaos/scenes.ts'

const USAGE = `usage: node bench/chaos.ts [options]
  --seed N          what is drawn: the same seed gives the same schedule (a random one)
  --seconds N       how long faults go on
  --only NAME       what happens: ${Object.keys(SCENES).join(', ')} (mixed)
  --soak            the same as --only soak
  --mutations       whether it finds what it looks for: lies, told on purpose
  --schedule        print the schedule and end
  --json FILE       write the report
`

const CALIBRATION_S = 8
const FREE_RATE = 100_000 // a second: nothing waits

const print = (line: string): void => void process.stderr.write(`${line}\n`)

/** A command line that can't be understood. */
class UsageError extends Error {}

interface Options {
  readonly seed: number
  readonly seconds: number
  readonly scene: Scene
  readonly schedule: boolean
  readonly mutations: boolean
  readonly json: string | undefined
}

function parseOptions(args: string[]): Options {
  const string = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const known = {
    seed: string,
    seconds: string,
    only: string,
    soak: flag,
    schedule: flag,
    mutations: flag,
    json: string,
  }
  try {
    const { values } = parseArgs({ args, options: known })
    const count = (name: 'seed' | 'seconds', fallback: number): number => {
      const value = Number(values[name] ?? fallback)
      if (Number.isInteger(value) && value > 0) return value
      throw new Error(`--${name} ${values[name]}: expected a whole number from 1`)
    }
    const name = values.soak === true ? 'soak' : (values.only ?? 'mixed')
    const scene = Object.hasOwn(SCENES, name) ? SCENES[name] : undefined
    if (scene === undefined) throw new Error(`--only ${name}: no such scene`)
    const seed = count('seed', 1 + Math.floor(Math.random() * 999_999))
    return {
      seed,
      scene,
      seconds: count('seconds', scene.seconds),
      schedule: values.schedule === true,
      mutations: values.mutations === true,
      json: values.json,
    }
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** The mixes at half the pace that they reach when nothing holds them back. */
async function calibrated(
  campaign: Pick<Campaign, 'seed' | 'backends' | 'mixes'>,
  signal: AbortSignal,
): Promise<Mix[]> {
  const free = campaign.mixes.map((mix) => ({ ...mix, rate: FREE_RATE }))
  const how = { ...campaign, mixes: free, blows: [], seconds: CALIBRATION_S, note: print, keep: false }
  const { flows, seconds } = await run(how, signal)
  return free.map((mix) => {
    const { clients, relayed = false } = mix
    const ours = Object.entries(flows).filter(
      ([flow]) =>
        relayed === flow.includes('@') && Object.keys(clients).includes(flow.replace(/(-get|-post)?(@.*)?$/, '')),
    )
    const rate = Math.round(ours.reduce((sum, [, { whole }]) => sum + whole, 0) / seconds / 2)
    const where = relayed ? ', by a relay' : ''
    print(`${Object.keys(clients).join(', ')}${where}: ${rate} a second, half of what they reach`)
    return { ...mix, rate }
  })
}

function render({ flows, blows, repeated, lost, left, problems, seconds, memory, minutes }: Report): string {
  const lines = ['| flow | sent | whole | ended otherwise, with a reason |', '| --- | ---: | ---: | --- |']
  for (const [flow, { sent, whole, excused }] of Object.entries(flows).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const others = Object.entries(excused).map(([outcome, n]) => `${outcome} ${n}`)
    lines.push(`| ${flow} | ${sent} | ${whole} | ${others.join(', ')} |`)
  }
  const done = Object.entries(blows).map(([kind, n]) => `${kind} ${n}`)
  lines.push(
    '',
    `${seconds.toFixed(0)} s; faults: ${done.join(', ')}; safe requests executed again: ${repeated}; others lost: ${lost}`,
  )
  if (minutes.length > 0)
    lines.push(`memory by minutes, MiB: ${minutes.map((bytes) => (bytes / 1024 / 1024).toFixed(0)).join(' ')}`)
  if (memory !== undefined) {
    const [warm, end] = memory.map((bytes) => `${(bytes / 1024 / 1024).toFixed(0)} MiB`)
    lines.push(`memory after the first minute ${warm}, at the end ${end}`)
  }
  for (const line of left) lines.push(`left out: ${line}`)
  for (const line of problems) lines.push(`BROKEN: ${line}`)
  return `${lines.join('\n')}\n`
}

/** @returns the exit code */
function renderMutations({ lies, deeds, violations }: Mutations): number {
  const lines = ['| lie | told | found |', '| --- | ---: | ---: |']
  for (const [lie, { told, found }] of Object.entries(lies)) lines.push(`| ${lie} | ${told} | ${found} |`)
  for (const [deed, found] of Object.entries(deeds)) lines.push(`| ${deed} | 1 | ${found ? 1 : 0} |`)
  for (const sentence of violations) lines.push(`ACCUSED WITHOUT A LIE: ${sentence}`)
  process.stdout.write(`${lines.join('\n')}\n`)
  const unseen = Object.values(lies).some(({ told, found }) => found < told) || Object.values(deeds).includes(false)
  return unseen || violations.length > 0 ? 1 : 0
}

async function main(args: string[]): Promise<number> {
  const interrupt = new AbortController()
  try {
    if (args.includes('--help')) {
      process.stdout.write(USAGE)
      return 0
    }
    const { seed, seconds, scene, schedule, mutations, json } = parseOptions(args)
    const campaign = scene.campaign(seed, seconds)
    print(`seed ${seed}`)
    if (schedule) {
      for (const { at, kind, target, lasts } of campaign.blows)
        process.stdout.write(`${at} ${kind} ${target} ${lasts}\n`)
      return 0
    }
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupt.abort())
    if (mutations) return renderMutations(await mutate(seed, print, interrupt.signal))
    const mixes = scene.calibrated === true ? await calibrated({ ...campaign, seed }, interrupt.signal) : campaign.mixes
    const report = await run({ ...campaign, mixes, seed, seconds, note: print, keep: true }, interrupt.signal)
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
    process.stdout.write(render(report))
    if (report.problems.length === 0) return 0
    print(
      `${report.problems.length} problems; to see them again: npm run chaos -- --only ${scene.name} --seed ${seed} --seconds ${seconds}`,
    )
    return 1
  } catch (error) {
    if (interrupt.signal.aborted) return 130
    if (error instanceof UsageError) {
      print(`${error.message}\n${USAGE}`)
      return 2
    }
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) print(cause.stack ?? cause.message)
    return 1
  }
}

process.exitCode = (await runInside(process.argv.slice(1))) ?? (await main(process.argv.slice(2)))
