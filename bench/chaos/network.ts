/** A network namespace of our own, in which packets can be lost: nothing else on the machine notices. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

const INSIDE = 'EVENKEEL_CHAOS_NAMESPACE' // set for the process that runs in one

const has = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

/** Why packets can't be lost; null: they can. */
export function noLoss(): string | null {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!has('nft')) return 'needs nftables'
  return process.env[INSIDE] === '1' ? null : 'needs a network namespace of its own, as npm run chaos makes it'
}

/** Runs the same command again in a namespace, where that is possible; answers its exit code. null: it is not, or this is the one. */
export async function runInside(args: readonly string[]): Promise<number | null> {
  if (process.env[INSIDE] === '1' || process.getuid?.() !== 0 || !has('nft') || !has('unshare')) return null
  const script = 'ip link set lo up && exec "$@"'
  const again = [process.execPath, ...process.execArgv, ...args]
  const child = spawn('unshare', ['--net', 'sh', '-c', script, 'sh', ...again], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  })
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, pass)
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

/** Loses so many of a hundred packets to and from these ports, at random. */
export function lose(name: string, ports: readonly number[], percent: number): void {
  const table = `inet chaos-${name}`
  const rule = (way: string) =>
    `add rule ${table} input tcp ${way} { ${ports.join(', ')} } numgen random mod 100 < ${percent} drop`
  const chain = `add chain ${table} input { type filter hook input priority 0; }`
  nft([`add table ${table}`, chain, rule('dport'), rule('sport')].join('\n'))
}

export function loseNoMore(name: string): void {
  nft(`delete table inet chaos-${name}`)
}

function nft(text: string): void {
  execFileSync('nft', ['-f', '-'], { input: text, stdio: ['pipe', 'ignore', 'pipe'] })
}
