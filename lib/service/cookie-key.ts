/** The key that signs our cookies: made once and kept in the state folder, so that clients stay on their backends over a restart. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, mkdir, open, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BalancerError, codeOf, type Logger, messageOf } from '../core/index.ts'

const BYTES = 32
const OTHERS = constants.S_IRWXG | constants.S_IRWXO

/**
 * Reads the key, or makes it where there is none. Where it can't be kept, cookies count until the next restart.
 * @throws BalancerError STATE_INVALID when the file is there and is not a key: another one would part all clients from theirs
 */
export async function loadCookieKey(file: string, log: Logger): Promise<Uint8Array> {
  const kept = await readKey(file, log)
  if (kept !== null) return kept
  const key = randomBytes(BYTES)
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeOnce(file, `${key.toString('hex')}\n`)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return (await readKey(file, log)) ?? key // another process made it meanwhile
    log.warn(
      `the key of affinity cookies can't be kept in ${file}: ${messageOf(error)}; after a restart clients are bound anew`,
    )
  }
  return key
}

async function readKey(file: string, log: Logger): Promise<Uint8Array | null> {
  let text: string
  try {
    const handle = await open(file, 'r')
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(4 * BYTES), 0, 4 * BYTES, 0)
      text = buffer.toString('latin1', 0, bytesRead)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw new BalancerError('STATE_INVALID', `the key of affinity cookies can't be read: ${messageOf(error)}`, {
      cause: error,
    })
  }
  if (!/^[0-9a-f]{64}\n?$/.test(text))
    throw new BalancerError(
      'STATE_INVALID',
      `${file} is not a key of affinity cookies (64 hexadecimal digits); delete it to have a new one made`,
    )
  if (((await stat(file)).mode & OTHERS) !== 0) log.warn(`${file} can be read by others: chmod 600 it`)
  return Buffer.from(text.trim(), 'hex')
}

/** Whole or not at all, and never over one that is there. */
async function writeOnce(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
    await link(draft, file)
  } finally {
    await handle.close()
    await unlink(draft)
  }
}
