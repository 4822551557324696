#!/usr/bin/env node
/** The command `evenkeel`: plain JavaScript, so that an old runtime gets a sentence, or the runtime that npm brought, and no syntax error. */
import { spawn } from 'node:child_process'
import module, { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const NEEDED = [22, 19]

// Halves the CPU of a start. Beside the code and not in the temporary folder, where anybody could leave a cache for us to run.
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/evenkeel', import.meta.url))
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) {
  process.env.NODE_COMPILE_CACHE = CACHE // for the data threads
  module.enableCompileCache(CACHE)
  const { main } = await import('./index.ts')
  process.exitCode = await main(process.argv)
} else {
  const bundled = findBundled()
  if (bundled === null) {
    console.error(
      `evenkeel needs Node.js ${NEEDED.join('.')} or later; this is ${process.versions.node}, and no bundled runtime was found. Run: npm ci`,
    )
    process.exitCode = 1
  } else {
    const child = spawn(bundled, process.argv.slice(1), { stdio: 'inherit' })
    // A terminal's Ctrl-C reaches the child by itself: passed on again it would count as a second one.
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
      process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal))
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === null ? 1 : 128)
    })
  }
}

/** The runtime among the optional dependencies, or null. */
function findBundled() {
  const require = createRequire(import.meta.url)
  try {
    return require.resolve(`node-linux-${process.arch}/bin/node`)
  } catch {
    return null
  }
}
