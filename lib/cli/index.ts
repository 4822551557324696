/** The commands of `evenkeel`: what each is called, takes and prints. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { codeOf } from '../core/index.ts'
import { addCerts } from './certs.ts'
import type { AdminFlags } from './client.ts'
import { CommandFailure } from './failure.ts'
import type { OperateFlags, Verb } from './operate.ts'
import type { PlanFlags } from './plan.ts'
import type { QueryFlags } from './query.ts'
import type { ReloadFlags } from './reload.ts'
import type { RollbackFlags } from './rollback.ts'
import type { UpgradeFlags } from './upgrade.ts'

/** Exit codes: 0 done, 1 failed, 2 wrong usage or invalid config, 3 the balancer can't be reached, 4 a deadline cut flows, 5 refused. */
const WRONG_USAGE = 2

const HERE = 'virtual-services.yaml'
const PACKAGED = '/etc/evenkeel/virtual-services.yaml'
const DEFAULT_FILE = !existsSync(HERE) && existsSync(PACKAGED) ? PACKAGED : HERE
const DEMO_PORT = 9101
const DEMO_COUNT = 3

export async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Runs the command line; answers the exit code. Each command is loaded when it is called. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0
  // `evenkeel schema | head` closes our output: nothing is left to say then.
  process.stdout.on('error', (error) => {
    if (codeOf(error) !== 'EPIPE') throw error
    process.exit(0)
  })
  const program = new Command('evenkeel')
  program
    .description('Layer-4/7 load balancer: virtual services over TCP, TLS, HTTP and HTTPS')
    .version(await version())
    .exitOverride()
    .showHelpAfterError('(evenkeel --help shows the commands)')
  program
    .command('run')
    .description('run the balancer until SIGTERM, which lets flows finish; a second one stops at once')
    .argument('[file]', 'configuration', DEFAULT_FILE)
    .option('--demo', 'also run the demo backends that the sample configuration names, and make its certificate')
    .option('--demo-port <port>', 'first port of the demo backends', port, DEMO_PORT)
    .option('--json', 'print what listens where as one JSON line')
    .addHelpText('after', example('evenkeel run --demo', 'evenkeel run /etc/evenkeel/virtual-services.yaml'))
    .action(async (file: string, flags: { demo?: boolean; demoPort: number; json?: boolean }) => {
      const { run } = await import('./run.ts')
      const demoPort = flags.demo === true ? flags.demoPort : null
      code = await run(file, { demoPort, json: flags.json === true, version: program.version() ?? '' })
    })
  program
    .command('check')
    .description('check a configuration and list every problem')
    .argument('[file]', 'configuration', DEFAULT_FILE)
    .option('--json', 'print the problems as JSON')
    .addHelpText('after', example('evenkeel check new.yaml'))
    .action(async (file: string, flags: { json?: boolean }) => {
      const { check } = await import('./check.ts')
      code = await check(file, flags.json === true)
    })
  admin(program.command('query').description('show the state of the appliance, services and backends'))
    .argument('[target]', 'SERVICE or SERVICE/BACKEND; default: all')
    .option('--json', 'print what the admin API answers')
    .option('--watch [seconds]', 'again and again, in place, until Ctrl-C')
    .addHelpText('after', example('evenkeel query --watch=2', 'evenkeel query web/backend-1'))
    .action(async (target: string | undefined, flags: QueryFlags) => {
      const { query } = await import('./query.ts')
      code = await query(target, flags, DEFAULT_FILE)
    })
  for (const [verb, what] of Object.entries(VERBS) as [Verb, string][]) {
    const command = admin(program.command(verb).description(what))
      .argument('[target]', 'SERVICE or SERVICE/BACKEND; default: the appliance, that is everything')
      .option('--reason <text>', 'why, for the log and for who looks at it later')
      .option('--json', 'print what the admin API answers')
    if (verb === 'drainstop')
      command
        .option(
          '--wait [duration]',
          'until it has ended (at most so long): exit code 0 by itself, 4 when flows were cut',
        )
        .option('--timeout <duration>', 'how long flows may go on; default: as configured')
    const more = verb === 'drainstop' ? ['evenkeel drainstop --timeout 10m --wait'] : []
    command.addHelpText('after', example(`evenkeel ${verb} shop/b1 --reason 'new disk'`, ...more))
    command.action(async (target: string | undefined, flags: OperateFlags) => {
      const { operate } = await import('./operate.ts')
      code = await operate(verb, target, flags, DEFAULT_FILE)
    })
  }
  admin(program.command('weight').description('change the weight of a backend'))
    .argument('<target>', 'SERVICE/BACKEND')
    .argument('<weight>', 'its share of new flows, 0 to 256', weight)
    .option('--reason <text>', 'why, for the log and for who looks at it later')
    .option('--json', 'print what the admin API answers')
    .addHelpText('after', example('evenkeel weight shop/b1 50'))
    .action(async (target: string, value: number, flags: OperateFlags) => {
      const { weigh } = await import('./operate.ts')
      code = await weigh(target, value, flags, DEFAULT_FILE)
    })
  admin(
    program.command('reload').description('bring the configuration file as it is now into force, without a restart'),
  )
    .option(
      '--if-hash <hash>',
      'only if this configuration is in force: as `evenkeel query --json` and the last reload tell it',
    )
    .option('--json', 'print what the admin API answers')
    .addHelpText('after', example('evenkeel reload', 'evenkeel reload --if-hash 0123456789abcdef'))
    .action(async (flags: ReloadFlags) => {
      const { reload } = await import('./reload.ts')
      code = await reload(flags, DEFAULT_FILE)
    })
  admin(
    program
      .command('plan')
      .description('show what a reload would add, change and remove, and how many flows it drains'),
  )
    .argument('[file]', 'another configuration; default: the file that the balancer runs on, as it is now')
    .option('--json', 'print what the admin API answers')
    .addHelpText('after', example('evenkeel plan', 'evenkeel plan new.yaml --json'))
    .action(async (file: string | undefined, flags: PlanFlags) => {
      const { plan } = await import('./plan.ts')
      code = await plan(file, flags, DEFAULT_FILE)
    })
  admin(program.command('rollback').description('bring an earlier configuration back, and write its files'))
    .argument('[n]', 'how many configurations ago; 1 is the one before this one', back, 1)
    .option('--list', 'list the configurations that are kept')
    .option('--if-hash <hash>', 'only if this configuration is in force')
    .option('--json', 'print what the admin API answers')
    .addHelpText('after', example('evenkeel rollback --list', 'evenkeel rollback 2'))
    .action(async (n: number, flags: RollbackFlags) => {
      const { rollback } = await import('./rollback.ts')
      code = await rollback(n, flags, DEFAULT_FILE)
    })
  admin(
    program
      .command('upgrade')
      .description('start a new process with what is installed and configured now, which takes over without a loss'),
  )
    .option(
      '--timeout <duration>',
      'for the new process to be ready; else it is given up and nothing has changed',
      '60s',
    )
    .option('--if-restarting <unit>', 'as ExecStop= of a systemd unit: only where `systemctl restart` stops it')
    .option('--json', 'print what the admin API answers')
    .addHelpText('after', example('evenkeel upgrade', 'evenkeel upgrade --timeout 20s --json'))
    .action(async (flags: UpgradeFlags) => {
      const { upgrade } = await import('./upgrade.ts')
      code = await upgrade(flags, DEFAULT_FILE)
    })
  admin(program.command('top').description('a live view of services and backends; q ends it'))
    .addHelpText('after', example('evenkeel top', 'evenkeel top --admin 10.0.0.5:9600'))
    .action(async (flags: AdminFlags) => {
      const { top } = await import('./top.ts')
      code = await top(flags, DEFAULT_FILE)
    })
  addCerts(program, {
    admin,
    example,
    file: DEFAULT_FILE,
    end: (value) => {
      code = value
    },
  })
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .addHelpText('after', example('evenkeel schema > virtual-services.schema.json'))
    .action(async () => {
      const { schema } = await import('./schema-command.ts')
      code = schema()
    })
  program
    .command('demo')
    .description('run demo backends until a signal: HTTP with WebSocket, and a line echo ten ports above')
    .option('--port <port>', 'HTTP port of the first; 0: any free ones', port, DEMO_PORT)
    .option('--count <number>', 'how many, 1 to 10', count, DEMO_COUNT)
    .addHelpText('after', example('evenkeel demo --port 9201 --count 5'))
    .action(async (flags: { port: number; count: number }) => {
      const { demo } = await import('./demo.ts')
      code = await demo(flags)
    })
  try {
    await program.parseAsync(argv)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE
    if (!(error instanceof CommandFailure)) throw error
    process.stderr.write(`evenkeel: ${error.message}\n`)
    return error.exit
  }
  return code
}

const VERBS: Readonly<Record<Verb, string>> = {
  start: 'take flows again; ends a drain',
  stop: 'take no flows and cut those under way; for a backend: maintenance',
  drainstop: 'take no new flows, and stop when the last has ended or the time is up',
  suspend: 'stop, and refuse the other verbs until resume',
  resume: 'allow the verbs again; operations stay stopped until start',
}

/** A command that asks a running balancer. */
const admin = (command: Command): Command =>
  command
    .option(
      '--admin <host:port>',
      `the admin listener, or unix:PATH; default: as ${DEFAULT_FILE} here says, else 127.0.0.1:9600`,
    )
    .option('--token <token>', 'its token; default: EVENKEEL_ADMIN_TOKEN')

const example = (...lines: readonly string[]): string =>
  `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}\n`).join('')}`

function port(text: string): number {
  return whole(text, 0, 65_535)
}

function count(text: string): number {
  return whole(text, 1, 10)
}

function back(text: string): number {
  return whole(text, 1, 9)
}

function weight(text: string): number {
  return whole(text, 0, 256)
}

function whole(text: string, least: number, most: number): number {
  const n = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (n >= least && n <= most) return n
  throw new InvalidArgumentError(`It is a number from ${least} to ${most}.`)
}
