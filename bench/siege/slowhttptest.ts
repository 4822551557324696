/** The three modes of Debian's slowhttptest: slow heads, slow bodies, slow reading. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { stripVTControlCharacters } from 'node:util'
import { findProgram } from '../peers/installed.ts'
import { LOAD_CORE } from '../processes.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege } from './contract.ts'

const PER_SECOND = 250

interface Mode {
  readonly name: string
  readonly about: string
  readonly path: string
  readonly clients: number
  readonly args: readonly string[]
  /** What ends the connections comes within these seconds, the time to open them included. */
  readonly seconds: number
}

const MODES: readonly Mode[] = [
  {
    name: 'slowloris',
    about: 'slowhttptest -H: a field every 5 s, ended by timeouts.head',
    path: '/1k',
    clients: 1000,
    args: ['-H', '-i', '5'],
    seconds: 20,
  },
  {
    name: 'slow-body',
    about: 'slowhttptest -B: 10 bytes of a body every 5 s, ended by limits.bodyRate',
    path: '/1k',
    clients: 1000,
    args: ['-B', '-i', '5', '-s', '8192', '-x', '10'],
    seconds: 45,
  },
  {
    name: 'slow-read',
    about:
      'slowhttptest -X: answers of 10 MiB read 32 bytes every 5 s, ended by timeouts.body: 30 s without progress, looked at every 30 s',
    path: '/1m',
    clients: 200, // each holds up to 4 MiB of the kernel's memory for TCP, which all programs share
    args: ['-X', '-n', '5', '-z', '32', '-w', '512', '-y', '1024', '-k', '10'],
    seconds: 75,
  },
]

/** What slowhttptest said last of a figure. */
export function lastFigure(output: string, name: string): number {
  const all = [...stripVTControlCharacters(output).matchAll(new RegExp(`^${name}:\\s+(\\d+)`, 'gm'))]
  return Number(all.at(-1)?.[1] ?? Number.NaN)
}

async function attack({ processes, target, signal }: Siege, mode: Mode): Promise<Finding[]> {
  const args = [...mode.args, '-c', mode.clients, '-r', PER_SECOND, '-l', mode.seconds, '-p', 3, '-u'].map(String)
  const url = `http://${target.web}${mode.path}`
  const tool = await processes.start('slowhttptest', 'slowhttptest', [...args, url], {
    core: LOAD_CORE,
    stdout: 'pipe',
  })
  const stop = () => void processes.stop(tool)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(tool.stdout), once(tool.child, 'exit')])
    signal.throwIfAborted()
    const plain = stripVTControlCharacters(output)
    if (!plain.includes('Test ended')) throw new Error(`slowhttptest failed: ${plain.trim()} ${tool.complaint()}`)
    const ended = plain.includes('No open connections left')
    const left = ended ? 'none' : `${lastFigure(output, 'connected')} of ${mode.clients}`
    const away = plain.match(/service available:\s+NO/g)?.length ?? 0
    return [
      promised(`open after ${mode.seconds} s`, left, 'none', ended),
      promised('times that the tool found the service away', String(away), '0', away === 0),
    ]
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

export const slowHttpTests: readonly Attack[] = MODES.map((mode) => ({
  name: mode.name,
  about: mode.about,
  missing() {
    const found = findProgram('slowhttptest', ['-h'], /version (\S+)/)
    return 'missing' in found ? found.missing : undefined
  },
  run: (siege: Siege) => besieged(siege, mode.seconds, () => attack(siege, mode)),
}))
