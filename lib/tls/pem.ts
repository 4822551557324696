/** Reads PEM files, bounded in size, or says in one sentence why one can't be used. */
import { readFile, stat } from 'node:fs/promises'
import { BalancerError, codeOf, messageOf } from '../core/index.ts'

export interface Block {
  readonly label: string
  readonly text: string
}

const MAX_FILE_BYTES = 1024 * 1024 // a chain with keys is some 10 KiB
const DER_SEQUENCE = 0x30 // first byte of DER and of PKCS#12

export const refuse = (message: string, cause?: unknown): BalancerError =>
  new BalancerError('TLS_CERTIFICATE', message, cause === undefined ? {} : { cause })

export async function readBlocks(file: string, what: string): Promise<Block[]> {
  const bytes = await readWhole(file, what)
  const text = bytes.toString('latin1')
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*(?:-[^-]+)*-----END \1-----/g)]
  if (blocks.length < text.split('-----BEGIN ').length - 1)
    throw refuse(`${what} file ${file} is cut off: a PEM block begins and does not end; copy the file again`)
  if (blocks.length > 0) return blocks.map(([block, label = '']) => ({ label, text: `${block}\n` }))
  if (bytes.length === 0) throw refuse(`${what} file ${file} is empty; it should be PEM text`)
  if (bytes[0] === DER_SEQUENCE)
    throw refuse(
      `${what} file ${file} is binary (DER or PKCS#12), not PEM; convert it with openssl ${what === 'key' ? 'pkey' : 'x509'} -inform der, or openssl pkcs12`,
    )
  throw refuse(`${what} file ${file} is not PEM; it should hold a block that starts with -----BEGIN`)
}

export async function readWhole(file: string, what: string, kind = 'PEM'): Promise<Buffer> {
  try {
    const facts = await stat(file)
    if (!facts.isFile()) throw refuse(`${what} file ${file} is not a file but a folder or device; name a ${kind} file`)
    if (facts.size > MAX_FILE_BYTES)
      throw refuse(`${what} file ${file} has ${facts.size} bytes; a ${kind} file has at most ${MAX_FILE_BYTES}`)
    return await readFile(file)
  } catch (error) {
    if (error instanceof BalancerError) throw error
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw refuse(`${what} file ${file} does not exist; put the ${kind} file there or correct the path`, error)
    if (code === 'EACCES' || code === 'EPERM')
      throw refuse(`${what} file ${file} may not be read by this user; grant it read access`, error)
    throw refuse(`${what} file ${file} can't be read: ${messageOf(error)}`, error)
  }
}

/** The first line of the file, which is the passphrase. */
export async function readPassphrase(file: string): Promise<string> {
  const [line = ''] = (await readWhole(file, 'passphrase', 'text')).toString('utf8').split(/\r?\n/, 1)
  if (line === '') throw refuse(`passphrase file ${file} has an empty first line; write the passphrase there`)
  return line
}
