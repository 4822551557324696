/** The MySQL and MariaDB probe: the greeting, and a login that is always gone through with. */
import { createHash } from 'node:crypto'
import type { HealthConfig } from '../config/index.ts'
import { type Probe, ProbeFailure, type ProbeResult, withoutSecret } from './contract.ts'
import { type Conversation, converse } from './conversation.ts'
import { securityOf } from './security.ts'

const LONG_PASSWORD = 0x1
const PROTOCOL_41 = 0x200
const SSL = 0x800
const SECURE_CONNECTION = 0x8000
const PLUGIN_AUTH = 0x80000
const CAPABILITIES = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
const UTF8MB4 = 45
const MAX_ROUNDS = 5 // of one login; the longest has three
const STRANGER = 'evenkeel' // need not exist
const NATIVE = 'mysql_native_password'
const SHA2 = 'caching_sha2_password'
const QUIT = Buffer.from([1, 0, 0, 0, 1])

interface Packet {
  readonly sequence: number
  readonly body: Buffer
}

interface Greeting {
  readonly version: string
  readonly capabilities: number
  readonly salt: Buffer
  readonly plugin: string
}

/**
 * The login is gone through with even without a user: a server counts connections that end before, and blocks the
 * address they come from after `max_connect_errors` of them. One that refuses access is not counted.
 * @throws BalancerError for a CA file that can't be used
 */
export function createMysqlProbe(health: HealthConfig): Probe {
  const security = securityOf(health)
  const { user, password = '' } = health.mysql
  return {
    check: (target, signal) =>
      converse(target, signal, security, async (backend) => {
        const first = await packetOf(backend)
        if (first.body[0] === 0xff) throw errorOf(first.body, password)
        const greeting = greetingOf(first.body)
        const login = loginHead(backend.startsTls ? CAPABILITIES | SSL : CAPABILITIES)
        let sequence = 1
        if (backend.startsTls) {
          if ((greeting.capabilities & SSL) === 0) throw new ProbeFailure('tls', 'the backend does not offer TLS')
          backend.write(packet(sequence++, login))
          await backend.secure()
        }
        // A plugin that we don't have is left to the server to switch.
        const plugin = greeting.plugin === SHA2 ? SHA2 : NATIVE
        const answer = scramble(plugin, password, greeting.salt)
        const name = Buffer.from(`${user ?? STRANGER}\0`)
        backend.write(packet(sequence, login, name, Buffer.of(answer.length), answer, Buffer.from(`${plugin}\0`)))
        return signIn(backend, greeting, user, password)
      }),
  }
}

async function signIn(
  backend: Conversation,
  { version }: Greeting,
  user: string | undefined,
  password: string,
): Promise<ProbeResult> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { sequence, body } = await packetOf(backend)
    const kind = body[0]
    if (kind === 0x00) {
      backend.bidFarewell(QUIT)
      return { detail: `${version}, signed in` }
    }
    if (kind === 0xff) {
      // SQLSTATE of class 28: invalid authorization.
      if (user === undefined && body.toString('latin1', 3, 6) === '#28')
        return { detail: `${version}, refuses the probe's user` }
      throw errorOf(body, password)
    }
    if (kind === 0xfe) backend.write(packet(sequence + 1, switched(body, user, password)))
    else if (kind === 0x01 && body[1] === 4) {
      if (!backend.secured)
        throw new ProbeFailure('protocol', `${SHA2} needs the password once over TLS; write health.tls.mode: starttls`)
      backend.write(packet(sequence + 1, Buffer.from(`${password}\0`)))
    } else if (kind !== 0x01 || body[1] !== 3) throw notMysql()
  }
  throw notMysql()
}

/** The answer to a server that wants another plugin than it named first. */
function switched(body: Buffer, user: string | undefined, password: string): Buffer {
  const end = body.indexOf(0, 1)
  if (end === -1) throw notMysql()
  const plugin = body.toString('latin1', 1, end)
  if (plugin !== NATIVE && plugin !== SHA2) {
    if (user === undefined) return Buffer.alloc(0) // it will refuse, which is an answer
    throw new ProbeFailure('protocol', `asks for ${plugin}, which probes don't have`)
  }
  return scramble(plugin, password, body.subarray(end + 1, end + 21))
}

function scramble(plugin: string, password: string, salt: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0)
  const algorithm = plugin === SHA2 ? 'sha256' : 'sha1'
  const hash = (...parts: readonly (string | Buffer)[]): Buffer => {
    const state = createHash(algorithm)
    for (const part of parts) state.update(part)
    return state.digest()
  }
  const once = hash(password)
  const twice = hash(once)
  const mask = plugin === SHA2 ? hash(twice, salt) : hash(salt, twice)
  for (const [i, byte] of once.entries()) mask[i] = (mask[i] ?? 0) ^ byte
  return mask
}

/** What a login and a request for TLS begin with. */
function loginHead(capabilities: number): Buffer {
  const head = Buffer.alloc(32)
  head.writeUInt32LE(capabilities, 0)
  head.writeUInt32LE(16 * 1024 * 1024, 4) // longest packet
  head.writeUInt8(UTF8MB4, 8)
  return head
}

function packet(sequence: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(4)
  head.writeUIntLE(body.length, 0, 3)
  head.writeUInt8(sequence & 255, 3)
  return Buffer.concat([head, body])
}

async function packetOf(backend: Conversation): Promise<Packet> {
  const head = await backend.bytes(4)
  const length = head.readUIntLE(0, 3)
  if (length === 0) throw notMysql()
  return { sequence: head.readUInt8(3), body: await backend.bytes(length) }
}

function greetingOf(body: Buffer): Greeting {
  const end = body.indexOf(0, 1)
  if (body[0] !== 10 || end === -1 || body.length < end + 45) throw notMysql()
  const version = body.toString('latin1', 1, end)
  const at = end + 5 // behind the number of the connection
  const low = body.readUInt16LE(at + 9)
  const high = body.readUInt16LE(at + 14)
  const salt = Buffer.concat([body.subarray(at, at + 8), body.subarray(at + 27, at + 39)])
  const [plugin = ''] = body.toString('latin1', at + 40).split('\0', 1)
  return { version, capabilities: (high << 16) | low, salt, plugin }
}

/** A code, where the login has begun `#` and five letters of SQLSTATE, and a text. */
function errorOf(body: Buffer, secret: string): ProbeFailure {
  if (body.length < 3) return notMysql()
  const text = body.toString('utf8', body[3] === 0x23 ? 9 : 3)
  return new ProbeFailure('status', withoutSecret(`${body.readUInt16LE(1)} ${text}`, secret))
}

const notMysql = (): ProbeFailure => new ProbeFailure('protocol', 'not an answer of MySQL')
