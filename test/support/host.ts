/**
 * Runs test files one after the other in one process: `node test/support/host.ts FILES…`. Each is a subtest that has the file's path
 * as its name, with what the file takes for the root of its tests, so that its teardowns run at its end; a comment behind it tells
 * what it took. It saves what each file would load anew: node, tap, and the code under test, a third of a second a file.
 */
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { spentByChildren } from './cpu.ts'
import { beHost } from './hosted.ts'

const FILE_MS = 180_000
const files = process.argv.splice(2) // before tap makes its names of them
const { default: t } = await import('tap')
const TAP = new URL('./hosted-tap.ts', import.meta.url)

const guests = new Set<string>()
registerHooks({
  resolve(specifier, context, next) {
    const from = context.parentURL ?? ''
    if (specifier !== 'tap' || !guests.has(from)) return next(specifier, context)
    return { ...next(`${TAP.href}?of=${encodeURIComponent(from)}`, context), shortCircuit: true }
  },
})

const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6 + spentByChildren()
}

t.setTimeout(0) // each file has its own limit
for (const file of files) {
  const url = pathToFileURL(resolve(file)).href
  guests.add(url)
  process.argv[1] = resolve(file) // as if it were the program
  const [from, spent] = [performance.now(), cpu()]
  await t.test(file, { timeout: FILE_MS }, async (t) => {
    beHost(t)
    await import(url)
  })
  t.comment(`took ${((performance.now() - from) / 1000).toFixed(2)} s, ${(cpu() - spent).toFixed(2)} s of CPU: ${file}`)
}
