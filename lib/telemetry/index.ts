export { AccessLog, type FlowRecord, type Phase } from './access-log.ts'
export { Exposition, type ProcessSource } from './exposition.ts'
export { DurationHistogram } from './histogram.ts'
export type { BackendSource, ListenerSource, SeriesSource, ServiceSource } from './series.ts'
