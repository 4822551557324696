/** The admin listener, and the types of what its API answers. */
export type { VerbAnswer } from './operate.ts'
export type { PastConfigView, PlanAnswer, ReloadAnswer } from './reload.ts'
export { type AdminOptions, type AdminServer, startAdmin } from './server.ts'
export type { Succession, UpgradeAnswer, UpgradeOutcome, UpgradeWish } from './upgrade.ts'
export type {
  AcmeView,
  BackendView,
  CertificateView,
  OperationEvent,
  OperationsView,
  ProbeResultView,
  ServiceSummary,
  ServiceView,
  StateEvent,
  StatusView,
} from './views.ts'
