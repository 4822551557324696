/** `evenkeel demo`: the demo backends alone, until a signal. */
import { BalancerError } from '../core/index.ts'
import { runDemo } from '../demo/index.ts'
import { CommandFailure } from './failure.ts'

export interface DemoFlags {
  readonly port: number
  readonly count: number
}

/** The HTTP ports of `count` backends: `port`, the next, and so on; 0: any that are free. */
export const demoPorts = ({ port, count }: DemoFlags): number[] =>
  Array.from({ length: count }, (_, i) => (port === 0 ? 0 : port + i))

export async function demo(flags: DemoFlags): Promise<number> {
  const ended = new AbortController()
  const end = (): void => ended.abort()
  process.once('SIGINT', end)
  process.once('SIGTERM', end)
  try {
    await runDemo({ signal: ended.signal, ports: demoPorts(flags) })
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    throw new CommandFailure(error.code === 'CONFIG_INVALID' ? 2 : 1, error.message)
  } finally {
    process.off('SIGINT', end)
    process.off('SIGTERM', end)
  }
  return 0
}
