/** The inputs that are kept: test/corpus/<target>/, one a file, as the bytes that they are. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../test/corpus/', import.meta.url))

/** All of a target's inputs, by file name. */
export function readCorpus(target: string): Map<string, Buffer> {
  const folder = `${FOLDER}${target}`
  const names = existsSync(folder) ? readdirSync(folder).sort() : []
  return new Map(names.map((name) => [name, readFileSync(`${folder}/${name}`)]))
}

/** Keeps an input under a name made of its bytes. */
export function keep(target: string, input: Buffer): string {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 12)
  mkdirSync(`${FOLDER}${target}`, { recursive: true })
  writeFileSync(`${FOLDER}${target}/${name}`, input)
  return `test/corpus/${target}/${name}`
}
