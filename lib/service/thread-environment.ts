/** The environment that data threads get: what the runtime goes by, and none of the secrets that ours may hold. */

// Whose callback it is that runs is of use to AsyncLocalStorage, which no data thread has: 4 % of a request's CPU time
// (docs/performance.md). Older runtimes don't know the option, and have it off. In the environment, because arguments would
// replace those that this process was started with.
const NO_FRAMES = '--no-async-context-frame'
const PASSED =
  /^(?:NODE_(?:COMPILE_CACHE|EXTRA_CA_CERTS|ICU_DATA|DEBUG|NO_WARNINGS|V8_COVERAGE)|SSL_CERT_(?:FILE|DIR)|OPENSSL_CONF|TZ|LANG|LC_[A-Z]+|EVENKEEL_(?:LOG|WIRES))$/

export function threadEnvironment(own: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(own)) if (PASSED.test(name)) env[name] = value
  const options = [own['NODE_OPTIONS'] ?? '', process.allowedNodeEnvironmentFlags.has(NO_FRAMES) ? NO_FRAMES : '']
  env['NODE_OPTIONS'] = options.join(' ').trim()
  return env
}
