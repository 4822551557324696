/** The commands of `evenkeel`: what each is called, takes and prints. */
import { readFile } from 'node:fs/promises'
import { Command, CommanderError } from 'commander'
import { check } from './check.ts'
import { run } from './run.ts'

/** Exit codes: 0 done, 1 failed, 2 wrong usage or invalid config, 3 the balancer can't be reached, 4 a deadline cut flows. */
const WRONG_USAGE = 2

const DEFAULT_FILE = 'virtual-services.yaml'

export async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Runs the command line; answers the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0
  const program = new Command('evenkeel')
  program
    .description('Layer-4/7 load balancer: virtual services over TCP, TLS, HTTP and HTTPS')
    .version(await version())
    .exitOverride()
    .showHelpAfterError('(evenkeel --help shows the commands)')
  program
    .command('run')
    .description('run the balancer until SIGTERM')
    .argument('[file]', 'configuration', DEFAULT_FILE)
    .option('--demo', 'also run the demo backends that the sample configuration names')
    .option('--json', 'print what listens where as one JSON line')
    .action(async (file: string, options: { demo?: boolean; json?: boolean }) => {
      code = await run(file, {
        demo: options.demo === true,
        json: options.json === true,
        version: program.version() ?? '',
      })
    })
  program
    .command('check')
    .description('check a configuration and list every problem')
    .argument('[file]', 'configuration', DEFAULT_FILE)
    .option('--json', 'print the problems as JSON')
    .action(async (file: string, options: { json?: boolean }) => {
      code = await check(file, options.json === true)
    })
  try {
    await program.parseAsync(argv)
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : WRONG_USAGE
  }
  return code
}
