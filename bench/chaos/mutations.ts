/**
 * Whether the harness finds what it looks for: a liar deceives clients and backends in each way in turn, connections are held
 * and a thread is ended behind its back, and each must be seen; nobody else may be accused.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../lib/core/index.ts'
import { eventually } from '../../test/support/eventually.ts'
import { sumOf } from '../siege/target.ts'
import { type Mix, startClients } from './clients.ts'
import { Hand } from './hand.ts'
import { JournalReader } from './journal.ts'
import type { Found, Verdict } from './ledger.ts'
import { LIE_NAMES } from './lies.ts'
import { RELAYED } from './plan.ts'
import { checksOf, descriptorsOf } from './rest.ts'
import { Stage } from './stage.ts'

const FEWEST = 2 // of each lie
const LIE_MS = 30_000 // until so many have been told
const CLIENTS_MS = 30_000
const VERDICT_MS = 60_000
const REST_MS = 20_000
const HELD = 40 // connections: more than descriptors may be left, even if some were idle at the beginning
const HELD_MS = 500 // in which that they are held must be seen

const MIXES: readonly Mix[] = [
  { rate: 80, clients: { h1: 2, 'h1-new': 1, 'h1-tls': 2, h2: 2, tcp: 3, tls: 3, websocket: 3, wss: 3 } },
]

export interface Mutations {
  readonly lies: Readonly<Record<string, Found>>
  /** What was done to the balancer, and whether it was seen. */
  readonly deeds: Readonly<Record<string, boolean>>
  /** Sentences about those who were not lied to. */
  readonly violations: readonly string[]
}

export async function mutate(seed: number, note: (line: string) => void, signal: AbortSignal): Promise<Mutations> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-mutations-'))
  const hands: Hand[] = []
  try {
    const stage = await Stage.start({ folder, backends: RELAYED, lying: true })
    try {
      const recorder = await Hand.start('the recorder', './recorder-process.ts', [stage.journals])
      hands.push(recorder)
      const before = descriptorsOf(stage)
      const clients = await startClients(stage, { mixes: MIXES, seed }, hands)
      await deceive(stage, note, signal)
      for (const each of clients) each.tell({ over: true })
      for (const each of clients) await each.exited(CLIENTS_MS)
      for (const check of checksOf(stage, before, REST_MS)) await check()
      const deeds = await disturb(stage, before)
      const { lies, violations } = await recorder.ask<Verdict>({ verdict: true }, VERDICT_MS)
      return { lies, deeds, violations }
    } finally {
      for (const hand of hands) await hand.kill()
      await stage.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Each lie, until some have been told. */
async function deceive(stage: Stage, note: (line: string) => void, signal: AbortSignal): Promise<void> {
  const told = new Map<string, number>()
  const journal = new JournalReader(join(stage.journals, 'liar'))
  try {
    for (const lie of LIE_NAMES) {
      note(lie)
      stage.lie(lie)
      const enough = (): boolean => {
        signal.throwIfAborted()
        journal.read(([, , , name = '']) => told.set(name, (told.get(name) ?? 0) + 1))
        return (told.get(lie) ?? 0) >= FEWEST
      }
      await eventually(`${lie}, ${FEWEST} times`, enough, LIE_MS)
    }
    stage.lie(null)
  } finally {
    journal.close()
  }
}

/** Does what must be seen when no client is left. */
async function disturb(stage: Stage, before: number): Promise<Record<string, boolean>> {
  const held: Socket[] = []
  for (let i = 0; i < HELD; i++) held.push(connect(stage.ports.web, '127.0.0.1').on('error', () => undefined))
  for (const socket of held) await once(socket, 'connect')
  held[0]?.write('POST /held HTTP/1.1\r\nHost: held\r\nContent-Length: 10\r\n\r\nhalf')
  const sum = async (family: string) => sumOf(await stage.balancer.metrics(), family)
  await eventually('a request under way', async () => (await sum('evenkeel_backend_active')) === 1, REST_MS)
  const [clients, backends, descriptors] = await seen(stage, before)
  for (const socket of held) socket.destroy()
  await stage.order('/threads/0/restart')
  const restarts = async () => (await sum('evenkeel_data_thread_restarts_total')) === 1
  await eventually('a thread has ended', restarts, REST_MS)
  const [, , , thread] = await seen(stage, before)
  return {
    'connections-held': clients === true,
    'request-held': backends === true,
    'descriptors-held': descriptors === true,
    'thread-ended': thread === true,
  }
}

/** Which of the checks fail. */
async function seen(stage: Stage, before: number): Promise<boolean[]> {
  const failed: boolean[] = []
  for (const check of checksOf(stage, before, HELD_MS))
    failed.push(
      await check().then(
        () => false,
        (error) => messageOf(error) !== '',
      ),
    )
  return failed
}
