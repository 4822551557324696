/** The PostgreSQL probe: a server that asks who one is, or signs a user in, or has a role in replication. */
import { createHash } from 'node:crypto'
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure, type ProbeResult, withoutSecret } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { ScramClient } from './scram.ts'
import { securityOf } from './security.ts'

const PROTOCOL_3 = 0x30000
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const TERMINATE = Buffer.from('X\0\0\0\x04')
const UNKNOWN_USER = 'evenkeel' // asks for nothing that it would need to exist for
const IS_REPLICA = 'SELECT pg_is_in_recovery()'

/** The codes of `R` messages. */
const AUTH = { ok: 0, clearText: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const

type Options = HealthConfig['postgres']

interface Message {
  readonly type: string
  readonly body: Buffer
}

/** @throws BalancerError for a CA file that can't be used */
export function createPostgresProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const options = health.postgres
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        if (backend.startsTls) {
          backend.write(SSL_REQUEST)
          const answer = (await backend.bytes(1)).toString('latin1')
          if (answer === 'N') throw new ProbeFailure('tls', 'the backend does not offer TLS')
          if (answer !== 'S') throw notPostgres()
          await backend.secure()
        }
        return talk(backend, options)
      }),
  }
}

async function talk(backend: Conversation, options: Options): Promise<ProbeResult> {
  const { user, password, database, role } = options
  backend.write(startup(user ?? UNKNOWN_USER, database))
  const first = await messageOf(backend)
  if (user === undefined) return judgeStranger(first)
  const known = await authenticate(backend, first, options)
  if (!known && role === 'any') return { detail: 'asks for a password' }
  if (!known) throw new ProbeFailure('status', 'asks for a password, which the role can not be learnt without')
  await ready(backend, password)
  backend.bidFarewell(TERMINATE)
  if (role === 'any') return { detail: 'signed in' }
  backend.write(message('Q', `${IS_REPLICA}\0`))
  const rows = await ready(backend, password)
  const found = rows[0]?.at(-1) === 0x74 ? 'replica' : 'primary' // t of true
  if (rows.length !== 1) throw notPostgres()
  if (found !== role) throw new ProbeFailure('status', `it is a ${found}, expected ${role}`)
  return { detail: `signed in, ${role}` }
}

/** As pg_isready does: a server that refuses just this user is well. */
function judgeStranger({ type, body }: Message): ProbeResult {
  if (type === 'R') return { detail: 'asks who one is' }
  if (type !== 'E') throw notPostgres()
  const { state, text } = errorOf(body)
  // Invalid authorization, invalid catalog name.
  if (/^(?:28|3D)/.test(state)) return { detail: `refuses the probe's user (${state})` }
  throw new ProbeFailure('status', text)
}

/** @returns false where a password is asked for, and there is none */
async function authenticate(backend: Conversation, first: Message, options: Options): Promise<boolean> {
  const { user = '', password } = options
  let scram: ScramClient | null = null
  for (let next = first; ; next = await messageOf(backend)) {
    const { type, body } = next
    if (type === 'E') throw failure(body, password)
    if (type !== 'R' || body.length < 4) throw notPostgres()
    const kind = body.readUInt32BE(0)
    const rest = body.subarray(4)
    if (kind === AUTH.ok) {
      if (scram !== null && !scram.verified) throw notPostgres()
      return true
    }
    if (password === undefined) return false
    if (kind === AUTH.clearText && backend.secured) backend.write(message('p', `${password}\0`))
    else if (kind === AUTH.clearText)
      throw new ProbeFailure('protocol', 'asks for the password in clear text; write health.tls.mode: starttls')
    else if (kind === AUTH.md5) backend.write(message('p', `${md5Answer(user, password, rest)}\0`))
    else if (kind === AUTH.sasl && scram === null && rest.toString('latin1').split('\0').includes('SCRAM-SHA-256')) {
      scram = new ScramClient(password)
      const text = Buffer.from(scram.first())
      backend.write(message('p', 'SCRAM-SHA-256\0', uint32(text.length), text))
    } else if (kind === AUTH.saslContinue && scram !== null)
      backend.write(message('p', await scram.final(rest.toString('latin1'))))
    else if (kind === AUTH.saslFinal && scram !== null) scram.verify(rest.toString('latin1'))
    else throw new ProbeFailure('protocol', `a way to sign in that probes don't have (${kind})`)
  }
}

/** Reads until the server waits for a query. @returns the last rows */
async function ready(backend: Conversation, secret: string | undefined): Promise<Buffer[]> {
  const rows: Buffer[] = []
  for (;;) {
    const { type, body } = await messageOf(backend)
    if (type === 'Z') return rows
    if (type === 'E') throw failure(body, secret)
    if (type === 'D') rows.push(body)
    else if (!'SKNTC'.includes(type)) throw notPostgres()
  }
}

async function messageOf(backend: Conversation): Promise<Message> {
  const head = await backend.bytes(5)
  const type = head.toString('latin1', 0, 1)
  const length = head.readUInt32BE(1)
  if (!/[A-Z]/.test(type) || length < 4) throw notPostgres()
  return { type, body: await backend.bytes(length - 4) }
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function message(type: string, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  return Buffer.concat([Buffer.from(type), uint32(body.length + 4), body])
}

function startup(user: string, database: string | undefined): Buffer {
  const fields = ['user', user, 'database', database ?? user, 'application_name', 'evenkeel-probe']
  // A message without a type.
  return message('', uint32(PROTOCOL_3), `${fields.join('\0')}\0\0`)
}

function md5Answer(user: string, password: string, salt: Buffer): string {
  const md5 = (...parts: readonly (string | Buffer)[]): string => {
    const hash = createHash('md5')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return `md5${md5(md5(password, user), salt)}`
}

/** SQLSTATE and message of an error. */
function errorOf(body: Buffer): { state: string; text: string } {
  const fields = body.toString().split('\0')
  const field = (letter: string): string => fields.find((each) => each.startsWith(letter))?.slice(1) ?? ''
  const state = field('C')
  return { state, text: `${state} ${field('M')}` }
}

const failure = (body: Buffer, secret: string | undefined): ProbeFailure =>
  new ProbeFailure('status', withoutSecret(errorOf(body).text, secret))

const notPostgres = (): ProbeFailure => new ProbeFailure('protocol', 'not an answer of PostgreSQL')
