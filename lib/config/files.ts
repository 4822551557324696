/** Finds and reads configuration files, bounded in number and size. */
import { glob, open, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, matchesGlob, resolve } from 'node:path'
import { messageOf } from '../core/index.ts'
import { Source } from './source.ts'

const MAX_BYTES = 4 * 1024 ** 2 // a thousand services written out; YAML is parsed on the control thread
const MAX_FILES = 1024
const GLOB = /[*?[\]{}]/

interface Opened {
  readonly source: Source
  /** Why the source can't be used, and the offset where that shows. */
  readonly refused?: { readonly offset: number; readonly message: string }
}

/** Where files are: on the disk, or texts that were there at some time. */
export interface FileStore {
  /** @param name how the file is called in problems */
  open(path: string, name: string): Promise<Opened>
  /** The files of a pattern in order of their names, or a sentence that says what is wrong. */
  find(pattern: string, from: Source): Promise<readonly Found[] | string>
}

/** @param name how the file is called in problems */
export async function openSource(path: string, name: string): Promise<Opened> {
  const folder = dirname(path)
  const refuse = (message: string, text = '', offset = 0) => ({
    source: new Source(name, folder, text),
    refused: { offset, message },
  })
  let bytes: Buffer
  try {
    bytes = await readBounded(path)
  } catch (error) {
    return refuse(`can't be read: ${messageOf(error)}`)
  }
  if (bytes.length > MAX_BYTES) return refuse(`is larger than ${MAX_BYTES / 1024 ** 2} MiB`)
  const text = decode(bytes)
  const bad = text.indexOf('\ufffd')
  if (bad === -1 || bytes.includes('\ufffd')) return { source: new Source(name, folder, text) }
  return refuse('is not valid UTF-8; save the file as UTF-8', text, bad)
}

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** At most one byte more than allowed, so that an endless device ends too. */
async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const pieces: Buffer[] = []
    let total = 0
    while (total <= MAX_BYTES) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(256 * 1024))
      if (bytesRead === 0) break
      pieces.push(buffer.subarray(0, bytesRead))
      total += bytesRead
    }
    return Buffer.concat(pieces).subarray(0, MAX_BYTES + 1)
  } finally {
    await file.close()
  }
}

export interface Found {
  /** As the pattern and the name of the including file give it. */
  readonly name: string
  readonly path: string
}

/** The folder in which a new file may come to match a pattern, as far as that is one; empty: it is a plain name. */
export function globFolder(pattern: string, from: Source): string[] {
  const at = pattern.search(GLOB)
  return at < 0 ? [] : [resolve(from.folder, dirname(`${pattern.slice(0, at)}x`))]
}

/** @returns the files of a pattern in order of their names, or a sentence that says what is wrong */
export async function findFiles(pattern: string, from: Source): Promise<readonly Found[] | string> {
  const toFound = (file: string): Found => ({
    name: isAbsolute(file) ? file : join(dirname(from.name), file),
    path: resolve(from.folder, file),
  })
  if (!GLOB.test(pattern)) {
    const found = toFound(pattern)
    return (await isFile(found.path)) ? [found] : `there is no file ${JSON.stringify(found.name)}`
  }
  const matches: string[] = []
  for await (const match of glob(pattern, { cwd: from.folder })) {
    matches.push(match)
    if (matches.length > MAX_FILES) return `matches more than ${MAX_FILES} files`
  }
  const files: Found[] = []
  for (const found of matches.sort().map(toFound)) if (await isFile(found.path)) files.push(found)
  return files
}

export const DISK: FileStore = { open: openSource, find: findFiles }

/** The files as they once were: no others are found. @param texts by absolute path */
export function filesOf(texts: ReadonlyMap<string, string>): FileStore {
  return {
    async open(path, name) {
      const source = new Source(name, dirname(path), texts.get(path) ?? '')
      return texts.has(path) ? { source } : { source, refused: { offset: 0, message: 'is not among the files' } }
    },
    async find(pattern, from) {
      const whole = resolve(from.folder, pattern)
      const paths = [...texts.keys()].filter((path) => (GLOB.test(pattern) ? matchesGlob(path, whole) : path === whole))
      const found = paths.sort().map((path) => ({ name: path, path }))
      return found.length > 0 || GLOB.test(pattern) ? found : `there is no file ${JSON.stringify(pattern)}`
    },
  }
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isFile(),
    () => false,
  )
