export type { AcmeConfig } from './acme.ts'
export { OWN_COOKIE } from './affinity.ts'
export { type Difference, differences, diffServices, needsRestart, partsOf, type ServiceDiff } from './diff.ts'
export { configurationReference, jsonSchema } from './document.ts'
export { filesOf } from './files.ts'
export { type LdapFilter, parseLdapFilter } from './ldap-filter.ts'
export {
  type Invalid,
  type Loaded,
  type LoadOptions,
  type LoadResult,
  loadConfig,
  loadConfigText,
  reloadConfig,
  type SourceText,
} from './load.ts'
export { holdsMask, redact } from './redact.ts'
export { problemsToJson, renderProblems } from './render.ts'
export type {
  AccessLogConfig,
  BackendConfig,
  Config,
  HealthConfig,
  LoadConfig,
  OutliersConfig,
  PoolConfig,
  ServiceConfig,
} from './schema.ts'
export type { Problem } from './source.ts'
