/** The admin listener, and the types of what its API answers. */
export { type AdminOptions, type AdminServer, startAdmin } from './server.ts'
export type {
  BackendView,
  CertificateView,
  ProbeResultView,
  ServiceSummary,
  ServiceView,
  StateEvent,
  StatusView,
} from './views.ts'
