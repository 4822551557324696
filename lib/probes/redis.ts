/** The Redis probe: AUTH where a password is given, PING, and the role in replication where one is asked for. */
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure, withoutSecret } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

/** @throws BalancerError for a CA file that can't be used */
export function createRedisProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const { user, password, role } = health.redis
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        const command = (...words: string[]): Promise<string> => {
          backend.write(encode(words))
          return answerOf(backend, password)
        }
        if (password !== undefined) await command('AUTH', ...(user === undefined ? [] : [user]), password)
        const pong = await command('PING')
        if (pong !== 'PONG') throw new ProbeFailure('protocol', 'PING was not answered with PONG')
        if (role === 'any') return { detail: 'PONG' }
        const info = await command('INFO', 'replication')
        const seen = roleOf(info)
        if (seen !== role) throw new ProbeFailure('status', `it is ${seen}, expected ${role}`)
        return { detail: `PONG, ${role}` }
      }),
  }
}

const encode = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`

function roleOf(info: string): string {
  const field = (name: string): string => new RegExp(`^${name}:(\\w+)\\r?$`, 'm').exec(info)?.[1] ?? ''
  if (field('role') === 'master') return 'primary'
  if (field('role') !== 'slave') return 'of no known role'
  return field('master_link_status') === 'up' ? 'replica' : 'a replica without its primary'
}

/** A simple string or a bulk string. */
async function answerOf(backend: Conversation, secret: string | undefined): Promise<string> {
  const line = await backend.line()
  if (line.startsWith('+')) return line.slice(1)
  if (line.startsWith('-')) throw new ProbeFailure('status', withoutSecret(line.slice(1), secret))
  const length = /^\$(\d{1,5})$/.exec(line)?.[1]
  if (length === undefined) throw new ProbeFailure('protocol', `not Redis: ${withoutSecret(line, secret)}`)
  const bulk = await backend.bytes(Number(length) + 2)
  return bulk.subarray(0, -2).toString()
}
