/** `evenkeel certs check`: connects as a client does, and tells what the server shows and what is wrong with it. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { messageOf } from '../core/index.ts'
import { namesOf, oneLine, readOcsp } from '../tls/index.ts'
import { CommandFailure } from './failure.ts'
import { painter } from './paint.ts'
import type { StartTls } from './starttls.ts'
import { harmless } from './table.ts'
import { fitsName, look, type Shown } from './tls-peer.ts'

export interface CheckFlags {
  readonly servername?: string
  readonly ca?: string
  readonly starttls?: StartTls
  readonly days: number
  readonly json?: boolean
}

interface Report {
  readonly address: string
  readonly servername: string
  readonly protocol: string
  readonly cipher: string
  readonly names: readonly string[]
  readonly keyType: string
  readonly notAfter: string
  /** Whole days, rounded down. */
  readonly daysLeft: number
  readonly chain: readonly { readonly subject: string; readonly issuer: string; readonly notAfter: string }[]
  /** Of the OCSP answer that came with the certificate. */
  readonly ocsp: 'none' | 'good' | 'revoked' | 'unknown' | 'invalid'
  /** Empty: all is well. */
  readonly problems: readonly string[]
}

const DAY_MS = 86_400_000

/** 0: all is well. 1: it is not, or there is no TLS server. */
export async function check(address: string, flags: CheckFlags): Promise<number> {
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1')
  const servername = flags.servername ?? host
  const ca = flags.ca === undefined ? null : await readCa(flags.ca)
  const shown = await look({
    host,
    port: Number(address.slice(at + 1)),
    servername,
    ca,
    protocol: flags.starttls ?? null,
  })
  const report = reportOf(address, servername, shown, flags.days)
  if (flags.json === true) process.stdout.write(`${JSON.stringify(report)}\n`)
  else process.stdout.write(`${linesOf(report).join('\n')}\n`)
  return report.problems.length > 0 ? 1 : 0
}

async function readCa(file: string): Promise<string> {
  try {
    const text = await readFile(file, 'latin1')
    new X509Certificate(text)
    return text
  } catch (error) {
    throw new CommandFailure(2, `--ca ${file} can't be used: ${messageOf(error)}`)
  }
}

function reportOf(address: string, servername: string, shown: Shown, days: number): Report {
  const { protocol, cipher, chain, distrust } = shown
  const [leaf, issuer] = chain
  if (leaf === undefined) throw new CommandFailure(1, `${address} shows no certificate`)
  const now = Date.now()
  const daysLeft = Math.floor((leaf.validToDate.getTime() - now) / DAY_MS)
  const ocsp = ocspOf(shown.staple, leaf, issuer, now)
  const problems: string[] = []
  const expired = leaf.validToDate.getTime() <= now
  if (expired) problems.push('the certificate has expired')
  if (distrust !== null && !(expired && problems.includes(distrust))) problems.push(distrust)
  if (!fitsName(leaf, servername) && !problems.includes('the certificate is for another name'))
    problems.push('the certificate is for another name')
  if (!expired && daysLeft < days) problems.push(`the certificate ends within ${days} days`)
  if (ocsp === 'revoked') problems.push('the certificate is revoked')
  if (ocsp === 'invalid') problems.push('the OCSP answer is not to be believed')
  return {
    address,
    servername,
    protocol,
    cipher,
    names: namesOf(leaf),
    keyType: leaf.publicKey.asymmetricKeyType ?? '',
    notAfter: leaf.validToDate.toISOString(),
    daysLeft,
    chain: chain.map(({ subject, issuer, validToDate }) => ({
      subject: oneLine(subject),
      issuer: oneLine(issuer),
      notAfter: validToDate.toISOString(),
    })),
    ocsp,
    problems,
  }
}

function ocspOf(
  staple: Buffer | null,
  leaf: X509Certificate,
  issuer: X509Certificate | undefined,
  now: number,
): Report['ocsp'] {
  if (staple === null) return 'none'
  if (issuer === undefined) return 'invalid'
  try {
    return readOcsp(staple, leaf, issuer, now).status
  } catch {
    return 'invalid'
  }
}

function linesOf(report: Report): string[] {
  const { address, servername, protocol, cipher, names, keyType, notAfter, daysLeft, chain, ocsp, problems } = report
  const paint = painter(process.stdout.isTTY)
  const row = (title: string, text: string): string => `${paint('dim', title.padEnd(8))}  ${text}`
  return [
    `${paint('bold', address)}  ${problems.length === 0 ? paint('green', 'ok') : paint('red', 'not ok')}`,
    ...problems.map((problem) => row('problem', paint('red', harmless(problem)))),
    row('asked', servername),
    row('protocol', `${protocol}, ${cipher}`),
    row('names', harmless(names.join(' '))),
    row('key', keyType),
    row('until', `${notAfter}, ${daysLeft} days left`),
    ...chain.map(({ subject }, i) => row(i === 0 ? 'chain' : '', harmless(subject) || '(no subject)')),
    row('issuer', harmless(chain.at(-1)?.issuer ?? '')),
    row('ocsp', ocsp === 'none' ? 'no answer came with it' : ocsp),
  ]
}
