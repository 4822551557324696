/** Changes the path that goes to the backend. The query stays. */
import { asCanonical } from './conditions.ts'
import type { Filter, RequestView } from './contract.ts'
import { swapPrefix } from './prefix.ts'

/** One of the four; `to` belongs to `regex`. */
export interface RewriteOptions {
  readonly stripPrefix?: string | undefined
  readonly addPrefix?: string | undefined
  readonly replacePrefix?: { readonly from: string; readonly to: string } | undefined
  /** Starts with `^` and has been found to run in linear time (config). What it matches is replaced, the rest stays. */
  readonly regex?: string | undefined
  /** `$1` to `$9`: what a group matched; `$0`: all; `$$`: a dollar. */
  readonly to?: string | undefined
}

export function rewritePath(options: RewriteOptions): Filter {
  const rewrite = rewriteOf(options)
  return {
    onRequest(request: RequestView): undefined {
      if (request.path === '*') return
      const path = rewrite(request.path)
      if (path !== undefined) request.path = path
    },
  }
}

/** @returns the new path; undefined: it stays */
function rewriteOf({ stripPrefix, addPrefix, replacePrefix, regex, to }: RewriteOptions) {
  if (regex !== undefined) return patternRewrite(new RegExp(regex, 'u'), to ?? '')
  const from = asCanonical(stripPrefix ?? replacePrefix?.from ?? '/')
  const start = asCanonical(addPrefix ?? replacePrefix?.to ?? '/')
  return (path: string): string | undefined => swapPrefix(path, from, start)
}

function patternRewrite(pattern: RegExp, to: string) {
  const parts = to.split(/(\$[0-9$])/)
  return (path: string): string | undefined => {
    const match = pattern.exec(path)
    if (match === null) return undefined
    let made = ''
    // What a group matched is put in as it is: a `$` in it means nothing (CVE-2019-14241 and the like).
    for (const part of parts)
      made += part === '$$' ? '$' : /^\$\d$/.test(part) ? (match[Number(part.charAt(1))] ?? '') : part
    return made + path.slice(match[0].length)
  }
}
