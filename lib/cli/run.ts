/** `evenkeel run`: loads the configuration, starts, and prints what listens where. */
import { loadConfig, renderProblems } from '../config/index.ts'
import { BalancerError } from '../core/index.ts'
import { EXIT, runBalancer } from '../main.ts'

export interface RunFlags {
  readonly demo: boolean
  readonly json: boolean
  readonly version: string
}

export async function run(file: string, flags: RunFlags): Promise<number> {
  const result = await loadConfig(file)
  if (!result.ok) {
    process.stderr.write(renderProblems(result.problems, { colour: process.stderr.isTTY }))
    return 2
  }
  try {
    return await runBalancer({
      config: result.config,
      file,
      version: flags.version,
      onStarted: (started) => {
        if (flags.json) process.stdout.write(`${JSON.stringify({ event: 'started', ...started })}\n`)
      },
      onDrain: (flows, leftMs) =>
        process.stderr.write(`draining: ${flows} connections left, at most ${Math.ceil(leftMs / 1000)} s\n`),
    })
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    process.stderr.write(`evenkeel: ${error.message}\n`)
    return EXIT.failed
  }
}
