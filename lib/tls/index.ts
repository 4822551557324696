/** TLS as the other folders see it: credentials from files, server contexts, certificates for development. */
export { createServerContext, newTicketKeys, type ServerContextOptions, serverOptions } from './context.ts'
export { type Credentials, loadCredentials } from './credentials.ts'
export { type DevelopmentCertificate, type DevelopmentOptions, ensureDevelopmentCertificate } from './development.ts'
