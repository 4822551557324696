/** The table of filters: a new one is one file and one row here. */
import { type AccessOptions, access } from './access.ts'
import { chainOf, guarded } from './chain.ts'
import type { Condition } from './conditions.ts'
import type { Chain, Filter } from './contract.ts'
import { type CookieOptions, cookies } from './cookies.ts'
import { type LocationOptions, rewriteLocation } from './location.ts'
import { type RedirectOptions, redirect } from './redirect.ts'
import { addRequestFields, removeRequestFields, setRequestFields } from './request-fields.ts'
import { fixedReply, type RespondOptions, respond } from './respond.ts'
import { addResponseFields, removeResponseFields, setResponseFields } from './response-fields.ts'
import { type RewriteOptions, rewritePath } from './rewrite-path.ts'

export { canonicalPath, type PathPolicy, SAFE_PATHS } from './canonical.ts'
export type { Chain, FieldList, Filter, Reply, RequestView, ResponseView } from './contract.ts'
export { Fields } from './field-list.ts'
export { type Refusal, RefusedError } from './refusal.ts'
export { compileRoutes, type RouteMatch } from './routes.ts'
export {
  type Authority,
  FilterRequest,
  FilterResponse,
  type RequestParts,
  readAuthority,
  readTarget,
  type Target,
} from './views.ts'
export { fixedReply }

type FieldValues = Readonly<Record<string, string>>

interface Options {
  readonly setRequestFields: FieldValues
  readonly addRequestFields: FieldValues
  readonly removeRequestFields: readonly string[]
  readonly setResponseFields: FieldValues
  readonly addResponseFields: FieldValues
  readonly removeResponseFields: readonly string[]
  readonly rewritePath: RewriteOptions
  readonly redirect: RedirectOptions
  readonly access: AccessOptions
  readonly respond: RespondOptions
  readonly cookies: CookieOptions
  readonly rewriteLocation: LocationOptions
}
export type FilterName = keyof Options

const FILTERS: { readonly [Name in FilterName]: (options: Options[Name]) => Filter } = {
  setRequestFields,
  addRequestFields,
  removeRequestFields,
  setResponseFields,
  addResponseFields,
  removeResponseFields,
  rewritePath,
  redirect,
  access,
  respond,
  cookies,
  rewriteLocation,
}
export const FILTER_NAMES = Object.keys(FILTERS) as FilterName[]

/** One entry of `filters`: the options of one filter under its name, and when it applies. */
export type FilterConfig = Choice & { readonly when?: Condition | undefined }

type Choice = { readonly [Name in FilterName]?: Options[Name] | undefined }

/** The filters of a service, in their order. */
export const compile = (filters: readonly FilterConfig[]): Chain => chainOf(filters.flatMap(filtersOf))

const filtersOf = (config: FilterConfig): Filter[] =>
  FILTER_NAMES.flatMap((name) => {
    const filter = create(name, config)
    return filter === undefined ? [] : [guarded(filter, config.when ?? {})]
  })

function create<Name extends FilterName>(name: Name, config: Choice): Filter | undefined {
  const options: Options[Name] | undefined = config[name]
  return options === undefined ? undefined : FILTERS[name](options)
}
