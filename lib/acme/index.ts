/** Certificates from ACME authorities (RFC 8555), as the other folders see them. */

export type { Wanted } from './folder.ts'
export { AcmeKeeper, type AcmeStatus, type KeeperOptions } from './keeper.ts'
