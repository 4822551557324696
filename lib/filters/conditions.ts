/** Conditions on requests: host, path, method, the client's address. Compiled once, then only asked. */
import { BlockList, isIP } from 'node:net'
import { canonicalPath, type PathPolicy } from './canonical.ts'
import type { RequestView } from './contract.ts'
import { hasPrefix } from './prefix.ts'

/** One of the three. */
export interface PathMatch {
  readonly exact?: string | undefined
  readonly prefix?: string | undefined
  /** Starts with `^` and has been found to run in linear time (config). */
  readonly regex?: string | undefined
}

/** What is not there is met by every request. */
export interface Condition {
  /** Names, or `*.name` for what is below a name. */
  readonly host?: readonly string[] | undefined
  readonly path?: readonly PathMatch[] | undefined
  readonly method?: readonly string[] | undefined
  /** Addresses and CIDR blocks of clients. */
  readonly from?: readonly string[] | undefined
}

/** @param path the request's, now or as the client asked for it */
export type Test = (request: RequestView, path: string) => boolean

/** null: the condition is always met. */
export function compileCondition({ host, path, method, from }: Condition): Test | null {
  const tests: Test[] = []
  if (method !== undefined) tests.push(methodTest(method))
  if (host !== undefined) tests.push(hostTest(host))
  if (path !== undefined) tests.push(anyPathTest(path))
  if (from !== undefined) tests.push(addressTest(from))
  const [first, second] = tests
  if (first === undefined) return null
  return second === undefined ? first : (request, path) => tests.every((test) => test(request, path))
}

function methodTest(methods: readonly string[]): Test {
  const set = new Set(methods)
  return ({ method }) => set.has(method)
}

function hostTest(hosts: readonly string[]): Test {
  const matches = compileHosts(hosts)
  return ({ host }) => matches(host)
}

/** Names as they are, `*.name` for all that end so; compared whole, never in part (CVE-2026-55602). */
export function compileHosts(hosts: readonly string[]): (host: string) => boolean {
  const names = new Set(hosts.map((host) => host.toLowerCase()))
  const suffixes = [...names].filter((name) => name.startsWith('*.')).map((name) => name.slice(1))
  return (host) => names.has(host) || suffixes.some((suffix) => host.endsWith(suffix) && host.length > suffix.length)
}

function anyPathTest(paths: readonly PathMatch[]): Test {
  const tests = paths.map(compilePath)
  const [only] = tests
  if (tests.length === 1 && only !== undefined) return (_request, path) => only(path)
  return (_request, path) => tests.some((test) => test(path))
}

export function compilePath({ exact, prefix, regex }: PathMatch): (path: string) => boolean {
  if (exact !== undefined) {
    const text = asCanonical(exact)
    return (path) => path === text
  }
  if (prefix !== undefined) {
    const text = asCanonical(prefix)
    return (path) => hasPrefix(path, text)
  }
  const pattern = new RegExp(regex ?? '^', 'u')
  return (path) => pattern.test(path)
}

const AS_WRITTEN: PathPolicy = {
  nul: 'pass',
  controls: 'pass',
  encodedSlash: 'pass',
  backslash: 'pass',
  dotSegments: 'pass',
  emptySegments: 'pass',
  doubleEncoding: 'pass',
  parameters: 'pass',
}

/** A path of the configuration in the form in which paths come: `/caf%c3%a9` as `/caf%C3%A9`. */
export function asCanonical(path: string): string {
  const made = canonicalPath(path, AS_WRITTEN)
  return typeof made === 'string' ? made : path
}

function addressTest(blocks: readonly string[]): Test {
  const list = new BlockList()
  for (const block of blocks) {
    const [address = '', bits] = block.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return ({ clientAddress }) => {
    const kind = isIP(clientAddress)
    return kind !== 0 && list.check(clientAddress, kind === 6 ? 'ipv6' : 'ipv4')
  }
}
