/** The way up of `systemctl restart` where another process serves already: systemd is told that it is the service. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { StatusView } from '../admin/index.ts'
import type { Config } from '../config/index.ts'
import { serviceManager } from '../main.ts'
import { type AdminPlace, ask, placeOf } from './client.ts'
import { CommandFailure } from './failure.ts'

/**
 * The process that systemd is to take for the service instead of this one, once it knows: it serves the same configuration and
 * belongs to the same unit. null: there is none.
 */
export async function adopted(config: Config, file: string): Promise<number | null> {
  const systemd = serviceManager()
  if (systemd === null) return null
  const status = await statusOf(placeOf(config))
  if (status === null || status.draining || status.file !== resolve(file)) return null
  const [own, its] = await Promise.all([unitOf('self'), unitOf(status.pid)])
  if (own === null || own !== its) return null
  await systemd.passOn(status.pid)
  return status.pid
}

async function statusOf(place: AdminPlace): Promise<StatusView | null> {
  try {
    return await ask<StatusView>(place, '/api/v1/status')
  } catch (error) {
    if (error instanceof CommandFailure) return null
    throw error
  }
}

/** The cgroup by which systemd knows a process; null: it has ended, or is not ours to see. */
async function unitOf(pid: number | 'self'): Promise<string | null> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
  const lines = groups.split('\n').filter((line) => /^\d+:(?:name=systemd)?:/.test(line))
  return lines.length === 0 ? null : lines.join('\n')
}
