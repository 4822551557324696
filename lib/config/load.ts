/** Loads the configuration: files to a checked `Config`, or every problem that they have. */
import { dirname, resolve } from 'node:path'
import { assemble } from './assemble.ts'
import { check, checkService, checkWhole, warn } from './checks.ts'
import type { Environment } from './environment.ts'
import { explain, type Issue } from './explain.ts'
import { DISK, type FileStore, openSource } from './files.ts'
import { type ReadFile, readFile, reread } from './parts.ts'
import type { Path } from './path.ts'
import {
  type Config,
  configSchema,
  defaultsSchema,
  type HealthConfig,
  type PoolConfig,
  serviceSchema,
} from './schema.ts'
import { type Finding, type Problem, Source, toProblems } from './source.ts'
import { child, type Entry, type Leaf, locate, type Tree, toData, withEntry, without } from './tree.ts'

export interface LoadOptions {
  /** What `${NAME}` is taken from. Default: the environment of the process. */
  readonly env?: Environment
  /** Where included files are looked for. Default: the disk. */
  readonly files?: FileStore
}

/** A file that a configuration was read from. */
export interface SourceText {
  /** Absolute. */
  readonly path: string
  readonly text: string
  /** The text without its secrets. */
  readonly shown: string
}

/** What was read, valid or not. */
interface Read {
  /** Absolute paths of all files that were read or tried, the main one first. */
  readonly files: string[]
  /** What they held. */
  readonly texts: SourceText[]
  /** Where globs would find further files. */
  readonly folders: string[]
}

/** A configuration that was read whole and is valid. */
export interface Loaded extends Read {
  readonly ok: true
  readonly config: Config
  /** What reading it again need not do again. */
  readonly reading: Reading
}

export interface Invalid extends Read {
  readonly ok: false
  readonly problems: Problem[]
}

export type LoadResult = (Loaded & { readonly warnings: Problem[] }) | Invalid

/** How a valid configuration was read. */
interface Reading {
  readonly env: Environment
  /** By absolute path. */
  readonly files: ReadonlyMap<string, ReadFile>
  readonly root: Tree
  readonly completed: ReadonlyMap<Entry, Entry>
  readonly config: Config
}

/** Never rejects because of what the files hold. */
export async function loadConfig(file: string, options: LoadOptions = {}): Promise<LoadResult> {
  const path = resolve(file)
  const { source, refused } = await openSource(path, file)
  if (refused === undefined) return loadSource(source, path, options)
  const at = { source, offset: refused.offset }
  const problems = toProblems([{ at, path: [], message: refused.message }], [source])
  return { ok: false, problems, files: [path], texts: [], folders: [] }
}

/** @param name the file that the text would be written to: for problems, and what relative paths are relative to */
export function loadConfigText(text: string, name: string, options: LoadOptions = {}): Promise<LoadResult> {
  const path = resolve(name)
  return loadSource(new Source(name, dirname(path), text.replace(/^\ufeff/, '')), path, options)
}

/**
 * The same after a change, for the cost of what has changed: services whose text is as it was before are not read and checked again.
 * @param before what was read last; of the same file
 */
export async function reloadConfig(file: string, before: Loaded): Promise<Loaded | Invalid> {
  const path = resolve(file)
  const { source, refused } = await openSource(path, file)
  const loaded = refused === undefined ? await reloadSource(source, path, before.reading) : null
  return loaded ?? loadConfig(file, { env: before.reading.env })
}

/** null: it has to be read whole, be it because more has changed than services, or because something is wrong with it. */
async function reloadSource(source: Source, path: string, before: Reading): Promise<Loaded | null> {
  const { env } = before
  const files = new Map<string, ReadFile>()
  const read = (at: string, now: Source): ReadFile => {
    const known = before.files.get(at)
    const file = (known === undefined ? null : reread(known, now, env)) ?? readFile(now, env)
    files.set(at, file)
    return file
  }
  const known = before.files.get(path)
  const main = known === undefined ? null : reread(known, source, env)
  if (main === null || main.tree === null) return null
  files.set(path, main)
  const world = { files: DISK, read, completed: before.completed }
  const { root, findings, sources, ...rest } = await assemble(main.source, path, main.tree, world)
  const services = child(root, 'virtualServices')
  const old = child(before.root, 'virtualServices')
  if (findings.length > 0 || root.kind !== 'map' || services?.kind !== 'map' || old?.kind !== 'map') return null
  const others = [...services.entries].filter(([name, entry]) => old.entries.get(name) !== entry)
  const part = withEntry(root, 'virtualServices', { at: root.at, value: { ...services, entries: new Map(others) } })
  const { config: partial, findings: wrong } = parse(part)
  if (partial === null || wrong.length > 0 || checkWhole(root).length > 0) return null
  if (others.some(([name, entry]) => checkService(name, entry).length > 0)) return null
  const fresh = withAbsolutePaths(partial, part).virtualServices
  const virtualServices: Config['virtualServices'] = {}
  for (const name of services.entries.keys()) {
    const service = (Object.hasOwn(fresh, name) ? fresh : before.config.virtualServices)[name]
    if (service === undefined) return null
    virtualServices[name] = service
  }
  const config = { ...before.config, virtualServices }
  const paths = [path, ...rest.files]
  const reading = { env, files, root, completed: rest.completed, config }
  return { ok: true, config, files: paths, texts: textsOf(paths, sources), folders: rest.folders, reading }
}

async function loadSource(main: Source, path: string, options: LoadOptions): Promise<LoadResult> {
  const env = options.env ?? process.env
  const files = new Map<string, ReadFile>()
  const readAs = (at: string, source: Source): ReadFile => {
    const file = readFile(source, env)
    files.set(at, file)
    return file
  }
  const read = readAs(path, main)
  if (read.tree === null) {
    const texts = [{ path, text: main.text, shown: main.masked() }]
    return { ok: false, problems: toProblems(read.findings, [main]), files: [path], texts, folders: [] }
  }
  const world = { files: options.files ?? DISK, read: readAs, completed: new Map<Entry, Entry>() }
  const assembly = await assemble(main, path, read.tree, world)
  const { root, findings, sources, folders, completed } = assembly
  const parsed = parse(root)
  const wrong = [...read.findings, ...findings, ...parsed.findings, ...check(root)]
  const paths = [path, ...assembly.files]
  const texts = textsOf(paths, sources)
  if (parsed.config === null || wrong.length > 0)
    return { ok: false, problems: toProblems(wrong, sources), files: paths, texts, folders }
  const config = withAbsolutePaths(parsed.config, root)
  const reading = { env, files, root, completed, config }
  return { ok: true, config, files: paths, texts, folders, reading, warnings: toProblems(warn(root), sources) }
}

const textsOf = (paths: readonly string[], sources: readonly Source[]): SourceText[] =>
  paths.flatMap((path, i) => {
    const source = sources[i]
    return source === undefined ? [] : [{ path, text: source.text, shown: source.masked() }]
  })

function parse(root: Tree): { config: Config | null; findings: readonly Finding[] } {
  if (root.kind === 'leaf' && root.value === null && root.broken !== true) {
    const message = 'the file is empty; it needs version and virtualServices'
    return { config: null, findings: [{ at: root.at, path: [], message }] }
  }
  const asText = new Set<Leaf>()
  for (;;) {
    const result = configSchema.safeParse(toData(without(root, 'defaults'), asText), { error: () => '' })
    const issues = result.error?.issues ?? []
    const explained = explain(root, [
      ...issues,
      ...issues.flatMap((issue) => issuesUnderBadName(issue, root, asText)),
      ...issuesOfDefaults(root, asText),
    ])
    const known = asText.size
    for (const leaf of explained.asText) asText.add(leaf)
    if (asText.size === known) return { config: result.data ?? null, findings: explained.findings }
  }
}

/** Apart from the rest: what is missing in them makes no configuration invalid, and no service may use them. */
function issuesOfDefaults(root: Tree, asText: ReadonlySet<Leaf>): Issue[] {
  const defaults = child(root, 'defaults')
  if (defaults === undefined) return []
  const result = defaultsSchema.safeParse(toData(defaults, asText), { error: () => '' })
  return (result.error?.issues ?? []).map((issue) => ({ ...issue, path: ['defaults', ...issue.path] }))
}

/** The schema passes over a service with a name that is not allowed; what is wrong in it is to be told as well. */
function issuesUnderBadName(issue: Issue, root: Tree, asText: ReadonlySet<Leaf>): Issue[] {
  if (issue.code !== 'invalid_key' || issue.path[0] !== 'virtualServices' || issue.path.length !== 2) return []
  const { tree } = locate(root, issue.path as Path)
  const result = serviceSchema.safeParse(toData(tree, asText), { error: () => '' })
  return (result.error?.issues ?? []).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

/** Probes believe what flows believe, unless they are told whom to believe themselves. */
function inherit<Tls extends HealthConfig['tls']>(own: Tls, flows: NonNullable<PoolConfig['backendTls']>): Tls {
  const told = own.ca !== undefined || own.pins.length > 0 || own.insecureSkipVerify
  const trust = told ? null : { ...pick(flows, 'ca'), pins: flows.pins, insecureSkipVerify: flows.insecureSkipVerify }
  const name = own.serverName === undefined ? pick(flows, 'serverName') : null
  const pair = own.cert === undefined ? { ...pick(flows, 'cert'), ...pick(flows, 'key') } : null
  return { ...own, ...trust, ...name, ...pair }
}

function pick<Of extends object, Key extends keyof Of>(from: Of, key: Key): Partial<Of> {
  const some: Partial<Of> = {}
  if (from[key] !== undefined) some[key] = from[key]
  return some
}

/** Files named by the configuration, relative to the folder of the file that names them. */
function withAbsolutePaths(config: Config, root: Tree): Config {
  const absolute = (file: string, path: Path) => resolve(locate(root, path).tree.at.source.folder, file)
  const { stateFile } = config.appliance
  if (stateFile !== 'off') config.appliance.stateFile = absolute(stateFile, ['appliance', 'stateFile'])
  const { tickets } = config.appliance
  if (tickets.file !== undefined) tickets.file = absolute(tickets.file, ['appliance', 'tickets', 'file'])
  const { acme } = config.appliance
  for (const key of ['folder', 'ca'] as const) {
    const file = acme?.[key]
    if (acme !== undefined && file !== undefined) acme[key] = absolute(file, ['appliance', 'acme', key])
  }
  const { path: log } = config.accessLog
  if (log !== 'stdout') config.accessLog.path = absolute(log, ['accessLog', 'path'])
  for (const [name, service] of Object.entries(config.virtualServices)) {
    const path = ['virtualServices', name]
    for (const [i, row] of (service.tls?.certificates ?? []).entries()) {
      for (const key of ['cert', 'key', 'pfx', 'passphraseFile'] as const) {
        const file = row[key]
        if (file !== undefined) row[key] = absolute(file, [...path, 'tls', 'certificates', i, key])
      }
    }
    for (const key of ['clientCa', 'clientCrl'] as const) {
      const file = service.tls?.[key]
      if (service.tls !== undefined && file !== undefined) service.tls[key] = absolute(file, [...path, 'tls', key])
    }
    const pools = Object.entries(service.pools).map(([key, pool]) => [pool, [...path, 'pools', key]] as const)
    for (const [{ health, backendTls }, where] of [[service, path] as const, ...pools]) {
      const { tls, exec } = health
      for (const key of ['ca', 'cert', 'key'] as const) {
        const [probes, flows] = [tls[key], backendTls?.[key]]
        if (probes !== undefined) tls[key] = absolute(probes, [...where, 'health', 'tls', key])
        if (backendTls !== undefined && flows !== undefined)
          backendTls[key] = absolute(flows, [...where, 'backendTls', key])
      }
      if (backendTls !== undefined) health.tls = inherit(tls, backendTls)
      const [program] = exec.command ?? []
      if (exec.command !== undefined && program !== undefined)
        exec.command[0] = absolute(program, [...where, 'health', 'exec', 'command', 0])
    }
  }
  // Both have done their work: a change of how services are written is no change of the services.
  const { defaults: _defaults, include: _include, ...rest } = config
  return rest
}
