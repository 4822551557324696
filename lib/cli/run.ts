/** `evenkeel run`: loads the configuration, starts, and prints what listens where. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Config, loadConfig, type Problem, renderProblems } from '../config/index.ts'
import { BalancerError, createLogger } from '../core/index.ts'
import type { DemoHandle } from '../demo/index.ts'
import { boundYoungHeap, EXIT, findPredecessor, runBalancer, type Started } from '../main.ts'
import { ensureDevelopmentCertificate } from '../tls/index.ts'
import { adopted } from './adopted.ts'
import { banner, commandName } from './banner.ts'
import { isDevelopment } from './certificates.ts'
import { becomeConfigured } from './identity.ts'
import { painter } from './paint.ts'

export interface RunFlags {
  /** HTTP port of the first demo backend; null: no demo. */
  readonly demoPort: number | null
  readonly json: boolean
  readonly version: string
}

const DEMO_BACKENDS = 3 // as many as the sample configuration names

export async function run(file: string, flags: RunFlags): Promise<number> {
  boundYoungHeap()
  const before = findPredecessor()
  const result = await loadConfig(file)
  const problems = result.ok ? result.warnings : result.problems
  if (problems.length > 0) {
    const noun = result.ok ? 'warning' : 'problem'
    process.stderr.write(renderProblems(problems, { colour: process.stderr.isTTY, noun }))
  }
  if (!result.ok) {
    await before?.fail(`the configuration is not valid: ${firstOf(result.problems)}`)
    return 2
  }
  const { config } = result
  const other = before === null && flags.demoPort === null ? await adopted(config, file) : null
  if (other !== null) {
    process.stderr.write(`process ${other} serves already and goes on: it has come in the place of the one before\n`)
    return EXIT.done
  }
  becomeConfigured(config)
  let demo: DemoHandle | null = null
  try {
    if (flags.demoPort !== null) {
      await makeCertificates(config)
      demo = await startDemo(flags.demoPort)
    }
    return await runBalancer({
      loaded: result,
      file,
      version: flags.version,
      before,
      onStarted: (started) => announce(started, config, flags, demo),
      onDrain: (flows, leftMs) =>
        process.stderr.write(`draining: ${flows} connections left, at most ${Math.ceil(leftMs / 1000)} s\n`),
    })
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    process.stderr.write(`evenkeel: ${error.message}\n`)
    await before?.fail(error.message)
    return EXIT.failed
  } finally {
    await demo?.close()
  }
}

function firstOf([first, ...others]: readonly Problem[]): string {
  if (first === undefined) return 'the log tells why'
  const { file, line, column, path, message } = first
  const more = others.length > 0 ? `, and ${others.length} more` : ''
  return `${file}:${line}:${column}${path === '' ? '' : ` ${path}`}: ${message}${more}`
}

async function startDemo(port: number): Promise<DemoHandle> {
  // its backends load what a balancer without a demo never needs
  const { demoPorts } = await import('./demo.ts')
  const { startDemoWorker } = await import('../demo/index.ts')
  const ports = demoPorts({ port, count: DEMO_BACKENDS })
  return startDemoWorker({ ports, onExit: (error) => createLogger().error(error.message) })
}

/** Makes what a configuration calls certs/localhost.pem, and renews what was made here before. */
async function makeCertificates(config: Config): Promise<void> {
  for (const service of Object.values(config.virtualServices))
    for (const { cert, key } of service.tls?.certificates ?? []) {
      if (cert === undefined || key === undefined || !isDevelopment(cert, key)) continue
      const folder = dirname(cert)
      if (existsSync(cert) && !existsSync(join(folder, 'ca.pem'))) continue // somebody's own
      await ensureDevelopmentCertificate(folder)
    }
}

/** A block for people, a line of JSON for programs, a line in the log for services. */
function announce(started: Started, config: Config, flags: RunFlags, demo: DemoHandle | null): void {
  const { stdout } = process
  if (flags.json) return void stdout.write(`${JSON.stringify({ event: 'started', ...started })}\n`)
  if (!stdout.isTTY && demo === null) return createLogger().info({ ...started }, `evenkeel ${flags.version} is running`)
  const command = commandName(process.argv[1] ?? '')
  const facts = { version: flags.version, config, started, demo: demo?.addresses ?? null, command }
  stdout.write(banner(facts, painter(stdout.isTTY)))
}
