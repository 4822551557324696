/** Reads what clients' certificates are verified by, and follows its files. */
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { messageOf } from '../core/index.ts'
import type { ClientAuth } from './client-identity.ts'
import { readBlocks, refuse } from './pem.ts'

export interface ClientAuthOptions {
  readonly clientAuth: 'none' | 'request' | 'require'
  readonly clientCa?: string | undefined
  readonly clientCrl?: string | undefined
  readonly clientAllow: readonly string[]
}

/** null: clients are not asked for one. @throws BalancerError TLS_CERTIFICATE */
export async function loadClientAuth(options: ClientAuthOptions): Promise<ClientAuth | null> {
  const { clientAuth: mode, clientCa, clientCrl, clientAllow: allow } = options
  if (mode === 'none' || clientCa === undefined) return null
  const ca = await readAuthorities(clientCa)
  const crl = clientCrl === undefined ? '' : await readRevocations(clientCrl)
  return { mode, ca, crl, allow }
}

export const clientPathsOf = ({ clientAuth, clientCa, clientCrl }: ClientAuthOptions): string[] =>
  clientAuth === 'none' ? [] : [clientCa, clientCrl].filter((path) => path !== undefined)

/** @throws BalancerError TLS_CERTIFICATE */
export async function readAuthorities(file: string): Promise<string> {
  const blocks = (await readBlocks(file, 'CA')).filter(({ label }) => label === 'CERTIFICATE')
  if (blocks.length === 0) throw refuse(`CA file ${file} holds no certificate`)
  for (const [i, { text }] of blocks.entries()) {
    try {
      new X509Certificate(text)
    } catch (error) {
      throw refuse(`certificate ${i + 1} in ${file} is damaged: ${messageOf(error)}; copy the file again`, error)
    }
  }
  return blocks.map(({ text }) => text).join('')
}

async function readRevocations(file: string): Promise<string> {
  const blocks = (await readBlocks(file, 'CRL')).filter(({ label }) => label === 'X509 CRL')
  if (blocks.length === 0) throw refuse(`CRL file ${file} holds no block BEGIN X509 CRL`)
  try {
    createSecureContext({ crl: blocks.map(({ text }) => text) })
  } catch (error) {
    throw refuse(`CRL file ${file} can't be used: ${messageOf(error)}; copy the file again`, error)
  }
  return blocks.map(({ text }) => text).join('')
}
