/** TLS as the other folders see it: credentials from files, server contexts, certificates for development. */

export {
  BackendTls,
  type BackendTlsOptions,
  type BackendTlsView,
  followBackendTls,
  loadBackendTls,
} from './backend-trust.ts'
export { ACME_TLS, Challenges, type ChallengesView, NO_CHALLENGES } from './challenges.ts'
export { HelloReader } from './client-hello.ts'
export { type ClientAuth, type ClientIdentity, identify } from './client-identity.ts'
export { type ClientAuthOptions, clientPathsOf, loadClientAuth, readAuthorities } from './client-trust.ts'
export { createServerContext, type ServerContextOptions, serverOptions } from './context.ts'
export { type Served, ServerContexts } from './contexts.ts'
export { type CertificateFiles, type Credentials, loadCredentials, namesOf, oneLine } from './credentials.ts'
export { type DevelopmentCertificate, type DevelopmentOptions, ensureDevelopmentCertificate } from './development.ts'
export { writeAtomically } from './files.ts'
export { Followed } from './followed.ts'
export { KEY_TYPES, type KeyType, keyPem, makeKey } from './keys.ts'
export { readOcsp } from './ocsp.ts'
export type { Offer } from './offer.ts'
export { type Protocol, type ProtocolOptions, protocolOf } from './protocol.ts'
export { Cursor, HandshakeReader, UNRECOGNIZED_NAME } from './records.ts'
export { SecretKeeper, type SecretsOptions } from './secrets.ts'
export { Stapler, type StaplerOptions } from './stapler.ts'
export { CertificateStore, type Finding, type StoredCertificate } from './store.ts'
export { newSecret, TicketRing, type TicketSecrets } from './tickets.ts'
export type { TlsView } from './view.ts'
export { pem, selfSigned, signingRequest } from './x509.ts'
