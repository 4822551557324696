/** `evenkeel certs create`, `csr` and `import`: they write a pair of files, and say what to do with it. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { basename, extname, join } from 'node:path'
import { BalancerError, isHostName, messageOf } from '../core/index.ts'
import {
  ensureDevelopmentCertificate,
  type KeyType,
  keyPem,
  loadCredentials,
  makeKey,
  pem,
  signingRequest,
  writeAtomically,
} from '../tls/index.ts'
import { CommandFailure } from './failure.ts'
import { askSecret } from './secret.ts'

interface MakeFlags {
  readonly out: string
  readonly name?: string
  readonly force?: boolean
  readonly json?: boolean
}
export type CreateFlags = MakeFlags & { readonly days: number }
export type RequestFlags = MakeFlags & { readonly key: KeyType }
export type ImportFlags = MakeFlags & { readonly passphraseFile?: string }

const SECRET = 0o600
const PUBLIC = 0o644
const FOLDER = 0o700
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,120}$/

export async function create(given: readonly string[], flags: CreateFlags): Promise<number> {
  const hosts = hostsOf(given)
  const file = nameOf(flags, hosts[0] ?? '')
  const { out, days, force } = flags
  const made = await failing(
    ensureDevelopmentCertificate(out, {
      names: hosts.filter((host) => isIP(host) === 0),
      ips: hosts.filter((host) => isIP(host) !== 0),
      days,
      file,
      replace: force === true ? 'always' : 'keep',
    }),
    '; --force replaces it',
  )
  const { cert, key, ca } = made
  return say(flags, { ...made, names: hosts }, [
    made.created ? `${cert} and ${key} are made, for ${hosts.join(', ')}` : `${cert} is good as it is`,
    `in the configuration: { cert: ${cert}, key: ${key} }`,
    `clients trust ${ca}`,
  ])
}

export async function request(given: readonly string[], flags: RequestFlags): Promise<number> {
  const hosts = hostsOf(given)
  const file = join(flags.out, nameOf(flags, hosts[0] ?? ''))
  const paths = { key: `${file}.key`, csr: `${file}.csr` }
  refuseToReplace(flags, Object.values(paths))
  const key = await makeKey(flags.key)
  await write(flags.out, [
    [paths.key, keyPem(key), SECRET],
    [paths.csr, pem('CERTIFICATE REQUEST', signingRequest(key, hosts)), PUBLIC],
  ])
  return say(flags, { ...paths, names: hosts }, [
    `${paths.csr} is the request, for ${hosts.join(', ')}: let an authority sign it`,
    `${paths.key} stays here: whoever has it can pretend to be you`,
    `with its answer, in the configuration: { cert: ${file}.pem, key: ${paths.key} }`,
  ])
}

export async function importFile(from: string, flags: ImportFlags): Promise<number> {
  const file = join(flags.out, nameOf(flags, basename(from, extname(from))))
  const paths = { cert: `${file}.pem`, key: `${file}.key` }
  refuseToReplace(flags, Object.values(paths))
  const { passphraseFile } = flags
  const passphrase = passphraseFile === undefined ? await passphraseOf(from) : undefined
  const { cert, key, names, notAfter, warnings } = await failing(
    loadCredentials({ pfx: from, passphrase, passphraseFile }),
    passphrase === '' ? '; a passphrase is taken from EVENKEEL_PASSPHRASE or --passphrase-file' : '',
  )
  await write(flags.out, [
    [paths.key, key, SECRET],
    [paths.cert, cert, PUBLIC],
  ])
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
  return say(flags, { ...paths, names, notAfter: new Date(notAfter).toISOString() }, [
    `${paths.cert} and ${paths.key} are written, for ${names.join(', ')}, until ${new Date(notAfter).toISOString()}`,
    `in the configuration: { cert: ${paths.cert}, key: ${paths.key} }`,
  ])
}

/** Never from the command line, which everybody on the machine can read. */
async function passphraseOf(file: string): Promise<string> {
  return process.env['EVENKEEL_PASSPHRASE'] ?? (await askSecret(`Passphrase of ${file}: `)) ?? ''
}

function hostsOf(given: readonly string[]): string[] {
  const hosts = [...new Set(given.map((text) => text.toLowerCase()))]
  for (const host of hosts)
    if (isIP(host) === 0 && !isHostName(host))
      throw new CommandFailure(2, `${JSON.stringify(host)} is neither a host name such as shop.test nor an IP address`)
  return hosts
}

/** `*.shop.test` would be a nuisance in a shell. */
function nameOf({ name }: MakeFlags, first: string): string {
  const file = name ?? first.replace(/^\*\./, 'wildcard.').replaceAll(':', '_')
  if (FILE_NAME.test(file)) return file
  throw new CommandFailure(2, `${JSON.stringify(file)} is no name for files; give one with --name, such as shop`)
}

function refuseToReplace({ force }: MakeFlags, files: readonly string[]): void {
  const there = files.filter((file) => existsSync(file))
  if (force !== true && there.length > 0)
    throw new CommandFailure(1, `${there.join(' and ')} ${there.length > 1 ? 'are' : 'is'} there; --force replaces`)
}

async function write(folder: string, files: readonly (readonly [string, string, number])[]): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: FOLDER })
    for (const [file, text, mode] of files) await writeAtomically(file, text, mode)
  } catch (error) {
    throw new CommandFailure(1, `the files can't be put into ${folder}: ${messageOf(error)}`)
  }
}

async function failing<T>(work: Promise<T>, hint = ''): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    throw new CommandFailure(1, error.message + hint)
  }
}

function say({ json }: MakeFlags, facts: object, lines: readonly string[]): number {
  process.stdout.write(json === true ? `${JSON.stringify(facts)}\n` : `${lines.join('\n')}\n`)
  return 0
}
