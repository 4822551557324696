/** The admin listener, and the types of what its API answers. */

export type { BackendView, ProbeResultView, StateEvent } from './backend-view.ts'
export type { AcmeView, CertificateView } from './certificate-view.ts'
export type { VerbAnswer } from './operate.ts'
export type { OperationEvent, OperationsView } from './operations-view.ts'
export type { PastConfigView, PlanAnswer, ReloadAnswer } from './reload.ts'
export { type AdminOptions, type AdminServer, startAdmin } from './server.ts'
export type { ServiceSummary, ServiceView } from './service-view.ts'
export type { StatusView } from './status-view.ts'
export type { Succession, UpgradeAnswer, UpgradeOutcome, UpgradeWish } from './upgrade.ts'
