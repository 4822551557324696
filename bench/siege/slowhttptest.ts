/** The three modes of Debian's slowhttptest: slow heads, slow bodies, slow reading. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { stripVTControlCharacters } from 'node:util'
import { findProgram } from '../peers/installed.ts'
import { LOAD_CORE } from '../processes.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege } from './contract.ts'
import type { Service } from './target.ts'

interface Mode {
  readonly name: string
  readonly about: string
  readonly service: Service
  readonly path: string
  readonly clients: number
  readonly perSecond: number
  readonly args: readonly string[]
  /** What the balancer counts them as when it ends them. */
  readonly reason: string
  /** What ends the connections comes within these seconds, the time to open them included. */
  readonly seconds: number
}

const MODES: readonly Mode[] = [
  {
    name: 'slowloris',
    about: 'slowhttptest -H: a field every 5 s, ended by timeouts.head',
    service: 'web',
    path: '/1k',
    clients: 1000,
    perSecond: 250,
    args: ['-H', '-i', '5'],
    reason: 'refused',
    seconds: 20,
  },
  {
    name: 'slow-body',
    about: 'slowhttptest -B: 10 bytes of a body every 5 s, ended by limits.bodyRate',
    service: 'sink',
    path: '/swallow', // whose backend waits for the whole body
    clients: 1000,
    perSecond: 250,
    args: ['-B', '-i', '5', '-s', '8192', '-x', '10'],
    reason: 'limit-body-rate',
    seconds: 45,
  },
  {
    name: 'slow-read',
    about:
      'slowhttptest -X: answers of 10 MiB read 32 bytes every 5 s, ended by timeouts.body: 30 to 60 s without progress',
    service: 'web',
    path: '/1m',
    clients: 200, // each holds up to 4 MiB of the kernel's memory for TCP, which all programs share
    perSecond: 50, // and is filled at full speed first: more at a time would be a load test
    args: ['-X', '-n', '5', '-z', '32', '-w', '512', '-y', '1024', '-k', '10'],
    reason: 'client-timeout',
    seconds: 75,
  },
]

async function attack({ processes, target, signal }: Siege, mode: Mode): Promise<Finding[]> {
  const args = [...mode.args, '-c', mode.clients, '-r', mode.perSecond, '-l', mode.seconds, '-p', 3, '-u'].map(String)
  const url = `http://${target[mode.service]}${mode.path}`
  const before = await target.errors(mode.service, mode.reason)
  // it polls without a pause: it gets what the normal client and the backends on its core leave
  const tool = await processes.start('slowhttptest', 'chrt', ['-i', '0', 'slowhttptest', ...args, url], {
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
    // not what the tool says is open: it does not see the end of a connection whose bytes it has not read
    const ended = (await target.errors(mode.service, mode.reason)) - before
    const away = plain.match(/service available:\s+NO/g)?.length ?? 0
    return [
      promised(`ended within ${mode.seconds} s`, `${ended} of ${mode.clients}`, 'all', ended >= mode.clients),
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
