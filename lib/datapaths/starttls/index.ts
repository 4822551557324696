/** The table of protocols in which TLS is asked for: a new one is one file and one row here. */
import type { ServiceConfig } from '../../config/index.ts'
import type { PreambleFactory } from './contract.ts'
import { imap } from './imap.ts'
import { ldap } from './ldap.ts'
import { pop3 } from './pop3.ts'
import { smtp } from './smtp.ts'

export const preambles: Readonly<Record<NonNullable<ServiceConfig['startTls']>, PreambleFactory>> = {
  smtp,
  imap,
  pop3,
  ldap,
}
