/** Chooses among the pools of a service: the first route that matches, in the order of the configuration. */
import { asCanonical, compileCondition, compilePath, type PathMatch, type Test } from './conditions.ts'
import type { RequestView } from './contract.ts'

/** What is not there is met by every request. */
export interface RouteMatch {
  /** Names, or `*.name` for what is below a name. */
  readonly host?: readonly string[] | undefined
  readonly path?: PathMatch | undefined
  readonly method?: readonly string[] | undefined
  /** Value that one of the fields of a name has; true: there is such a field, false: there is none. */
  readonly headers?: Readonly<Record<string, string | boolean>> | undefined
}

/** Answers the index of the first route that matches, or -1. Host and path are those of the moment. */
export function compileRoutes(routes: readonly RouteMatch[]): (request: RequestView) => number {
  const tests = routes.map(compileMatch)
  const names = new Map<string, Shelf>()
  const suffixes = new Map<string, Shelf>()
  const anywhere = new Shelf()
  for (const [i, { host, path }] of routes.entries())
    for (const shelf of host === undefined ? [anywhere] : new Set(host.map((name) => shelfOf(name, names, suffixes))))
      shelf.add(i, path)
  return (request) => {
    const { host, path } = request
    const segment = firstSegment(path)
    let best = anywhere.first(request, segment, tests, Number.POSITIVE_INFINITY)
    const exact = names.get(host)
    if (exact !== undefined) best = exact.first(request, segment, tests, best)
    if (suffixes.size > 0)
      for (let dot = host.indexOf('.', 1); dot >= 0; dot = host.indexOf('.', dot + 1)) {
        const shelf = suffixes.get(host.slice(dot))
        if (shelf !== undefined) best = shelf.first(request, segment, tests, best)
      }
    return best === Number.POSITIVE_INFINITY ? -1 : best
  }
}

function shelfOf(host: string, names: Map<string, Shelf>, suffixes: Map<string, Shelf>): Shelf {
  const lower = host.toLowerCase()
  const [map, key] = lower.startsWith('*.') ? [suffixes, lower.slice(1)] : [names, lower]
  const shelf = map.get(key) ?? new Shelf()
  map.set(key, shelf)
  return shelf
}

/** The routes of one host, in their order, laid out by the first segment that their path must have. */
class Shelf {
  readonly #bySegment = new Map<string, number[]>()
  readonly #others: number[] = []

  add(index: number, path: PathMatch | undefined): void {
    const text = path?.exact ?? path?.prefix
    const segment = text === undefined ? '' : firstSegment(asCanonical(text))
    if (segment === '') this.#others.push(index)
    else {
      const list = this.#bySegment.get(segment)
      if (list === undefined) this.#bySegment.set(segment, [index])
      else list.push(index)
    }
  }

  /** The first of its routes that matches, if it stands before `best`; else `best`. */
  first(request: RequestView, segment: string, tests: readonly (Test | null)[], best: number): number {
    const listed = this.#bySegment.get(segment)
    const found = listed === undefined ? best : firstOf(listed, request, tests, best)
    return firstOf(this.#others, request, tests, found)
  }
}

function firstOf(list: readonly number[], request: RequestView, tests: readonly (Test | null)[], best: number): number {
  for (const index of list) {
    if (index >= best) return best
    const test = tests[index]
    if (test === null || test?.(request, request.path) === true) return index
  }
  return best
}

/** `shop` of `/shop/cart` and `/shop;id=1`. */
function firstSegment(path: string): string {
  let end = 1
  while (end < path.length && path.charCodeAt(end) !== 47 && path.charCodeAt(end) !== 59) end++
  return path.slice(1, end)
}

/** All but the host, which the shelf stands for. null: nothing else is asked. */
function compileMatch({ path, method, headers }: RouteMatch): Test | null {
  const tests: Test[] = []
  const byMethod = method === undefined ? null : compileCondition({ method })
  if (byMethod !== null) tests.push(byMethod)
  if (path !== undefined) {
    const matches = compilePath(path)
    tests.push((_request, now) => matches(now))
  }
  for (const [name, wanted] of Object.entries(headers ?? {})) tests.push(fieldTest(name, wanted))
  const [first, second] = tests
  if (first === undefined) return null
  return second === undefined ? first : (request, now) => tests.every((test) => test(request, now))
}

function fieldTest(name: string, wanted: string | boolean): Test {
  if (typeof wanted === 'boolean') return ({ fields }) => (fields.get(name) !== undefined) === wanted
  return ({ fields }) => fields.get(name) !== undefined && fields.all(name).includes(wanted)
}
