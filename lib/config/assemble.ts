/** Brings the services of all files together under one root, `defaults` merged into each. */

import { type FileStore, type Found, globFolder } from './files.ts'
import type { ReadFile } from './parts.ts'
import { poolShape } from './pool.ts'
import { type Finding, type Source, where } from './source.ts'
import { type Branch, child, type Entry, itemsOf, merge, type Tree, textOf, withEntry, without } from './tree.ts'

export interface Assembly {
  readonly root: Tree
  readonly findings: Finding[]
  readonly sources: Source[]
  /** Absolute paths of the included files. */
  readonly files: string[]
  /** Where globs look for files. */
  readonly folders: string[]
  /** Services with what they did not say themselves, by what was written of them. */
  readonly completed: Map<Entry, Entry>
}

/** What a configuration is read with. */
export interface World {
  readonly files: FileStore
  /** Reads an included file. */
  readonly read: (path: string, source: Source) => ReadFile
  /** Services that need not be completed again, by what was written of them. */
  readonly completed: ReadonlyMap<Entry, Entry>
}

/** @param root what the main file says */
export async function assemble(main: Source, mainPath: string, root: Tree, world: World): Promise<Assembly> {
  const assembly = { root, findings: [], sources: [main], files: [], folders: [], completed: new Map() } as Assembly
  if (root.kind !== 'map') return assembly
  const own = root.entries.get('virtualServices')
  const services = new Map(own?.value.kind === 'map' ? own.value.entries : [])
  for (const found of await includedFiles(main, mainPath, root, assembly, world))
    for (const [name, entry] of await readIncluded(found, world, assembly)) {
      const first = services.get(name)
      if (first === undefined) services.set(name, entry)
      else {
        const message = `the name ${name} is taken by the service at ${where(first.at)}; give one of them another name`
        assembly.findings.push({ at: entry.at, path: ['virtualServices', name], message })
      }
    }
  if (own !== undefined && own.value.kind !== 'map') return assembly
  if (own === undefined && !root.entries.has('include')) return assembly
  const defaults = child(root, 'defaults')
  for (const [name, entry] of services) {
    const complete = world.completed.get(entry) ?? { ...entry, value: withPools(withDefaults(entry.value, defaults)) }
    assembly.completed.set(entry, complete)
    services.set(name, complete)
  }
  const at = own?.at ?? root.at
  const value: Branch = { kind: 'map', entries: services, at: own?.value.at ?? root.at }
  return { ...assembly, root: withEntry(root, 'virtualServices', { at, value }) }
}

/** Default TLS settings are for those services that speak TLS; the others need not opt out. */
function withDefaults(service: Tree, defaults: Tree | undefined): Tree {
  if (service.kind !== 'map' || defaults?.kind !== 'map') return service
  const protocol = textOf(child(service, 'protocol') ?? child(defaults, 'protocol'))
  const plain = protocol === 'tcp' || protocol === 'udp' || protocol === 'http'
  return merge(plain ? without(defaults, 'tls') : defaults, service)
}

/** What a pool does not say is as its service says. */
function withPools(service: Tree): Tree {
  const pools = service.kind === 'map' ? service.entries.get('pools') : undefined
  if (service.kind !== 'map' || pools?.value.kind !== 'map') return service
  const shared = new Map([...service.entries].filter(([key]) => Object.hasOwn(poolShape, key)))
  const entries = new Map<string, Entry>()
  for (const [name, entry] of pools.value.entries) {
    const base: Branch = { kind: 'map', entries: shared, at: entry.value.at }
    // Of the ways to say sorry there is one: the pool's own is not joined with another.
    const own = child(entry.value, 'sorry') === undefined ? base : without(base, 'sorry')
    entries.set(name, { ...entry, value: merge(own, entry.value) })
  }
  return withEntry(service, 'pools', { ...pools, value: { ...pools.value, entries } })
}

async function includedFiles(
  main: Source,
  mainPath: string,
  root: Branch,
  { findings, folders }: Assembly,
  { files: store }: World,
): Promise<Found[]> {
  const include = child(root, 'include')
  const files = new Map<string, Found>()
  for (const [i, item] of (include?.kind === 'list' ? itemsOf(include) : [include]).entries()) {
    const pattern = textOf(item)
    if (item === undefined || pattern === undefined) continue
    folders.push(...globFolder(pattern, main))
    const found = await store.find(pattern, main)
    const path = include?.kind === 'list' ? ['include', i] : ['include']
    if (typeof found === 'string') findings.push({ at: item.at, path, message: found })
    else for (const file of found) if (file.path !== mainPath && !files.has(file.path)) files.set(file.path, file)
  }
  return [...files.values()]
}

/** @returns the services of one included file, which may hold nothing else */
async function readIncluded(
  found: Found,
  { read: readAs, files }: World,
  assembly: Assembly,
): Promise<Iterable<[string, Entry]>> {
  const { findings } = assembly
  const { source, refused } = await files.open(found.path, found.name)
  assembly.sources.push(source)
  assembly.files.push(found.path)
  const start = { source, offset: refused?.offset ?? 0 }
  if (refused !== undefined) {
    findings.push({ at: start, path: [], message: refused.message })
    return []
  }
  const read = readAs(found.path, source)
  assembly.sources[assembly.sources.length - 1] = read.source
  findings.push(...read.findings)
  if (read.tree === null || isEmpty(read.tree)) return []
  if (read.tree.kind !== 'map') {
    findings.push({ at: read.tree.at, path: [], message: 'expected a map with the key virtualServices' })
    return []
  }
  for (const [key, entry] of read.tree.entries) {
    if (key === 'virtualServices') continue
    const leaf = entry.value.kind === 'leaf' ? entry.value : undefined
    if (key !== 'version') {
      const message = `\`${key}\` is not for an included file, which may have version and virtualServices only`
      findings.push({ at: entry.at, path: [key], message })
    } else if (leaf?.broken !== true && leaf?.value !== 1) {
      findings.push({ at: entry.value.at, path: [key], message: 'must be 1, the version of this file format' })
    }
  }
  const services = child(read.tree, 'virtualServices')
  if (services === undefined || isEmpty(services)) return []
  if (services.kind === 'map') return services.entries
  findings.push({ at: services.at, path: ['virtualServices'], message: 'expected a map of services by name' })
  return []
}

/** Nothing written, or what is known to be wrong already. */
const isEmpty = (tree: Tree): boolean => tree.kind === 'leaf' && tree.value === null
