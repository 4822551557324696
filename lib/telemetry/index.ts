export { AccessLog, type FlowRecord, type Phase } from './access-log.ts'
