/** The sample configuration and every example are valid, and say what they are for. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig, renderProblems } from '../../lib/config/index.ts'

const root = join(import.meta.dirname, '../..')
const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yaml'))
const files = ['virtual-services.yaml', ...examples.map((name) => join('examples', name))]

async function load(file: string, env: Record<string, string> = {}) {
  const result = await loadConfig(join(root, file), { env })
  if (!result.ok) throw new Error(renderProblems(result.problems, { colour: false }))
  return result
}

t.test('there are examples to check', async (t) => {
  t.ok(examples.length >= 7)
})

for (const file of files) {
  t.test(`${file} is valid without warnings`, async (t) => {
    const { warnings, config } = await load(file)
    t.strictSame(warnings, [])
    t.ok(Object.keys(config.virtualServices).length > 0)
  })

  t.test(`${file} starts with the line for editors and a comment`, async (t) => {
    const [first, second, third] = readFileSync(join(root, file), 'utf8').split('\n')
    const depth = file.startsWith('examples') ? '..' : '.'
    t.equal(first, `# yaml-language-server: $schema=${depth}/docs/virtual-services.schema.json`)
    t.equal(second, '#')
    t.match(third, /^# \w+/)
    if (depth === '..') t.match(readFileSync(join(root, file), 'utf8'), /^# .*: use this /m)
  })
}

t.test('the sample sends flows to the demo backends, by their default ports', async (t) => {
  const { config } = await load('virtual-services.yaml')
  const { web, echo, 'web-secure': secure } = config.virtualServices
  const ports = (service: typeof web) => service?.backends.map(({ host, port }) => `${host}:${port}`)
  const http = ['127.0.0.1:9101', '127.0.0.1:9102', '127.0.0.1:9103']
  t.strictSame([ports(web), ports(secure)], [http, http])
  t.strictSame(ports(echo), ['127.0.0.1:9111', '127.0.0.1:9112', '127.0.0.1:9113'])
  t.match(config.admin.listen, '127.0.0.1:9600')
})

t.test('the example with environment variables takes them', async (t) => {
  const env = { PORT: '9999', APP_1_WEIGHT: '7', EVENKEEL_THREADS: '3', HEALTH_INTERVAL: '9s' }
  const { config } = await load('examples/environment.yaml', env)
  const { app } = config.virtualServices
  t.match(app, { listen: [{ first: 9999 }], health: { interval: 9000 } })
  t.equal(app?.backends[0]?.weight, 7)
  t.equal(config.appliance.threads, 3)
})

t.test('the example with included files has the services of all of them, with the defaults of the first', async (t) => {
  const { config, files } = await load('examples/include.yaml')
  t.strictSame(Object.keys(config.virtualServices).sort(), ['billing', 'portal', 'search'])
  t.equal(files.length, 3)
  t.match(config.virtualServices['billing']?.health, { path: '/health', type: 'http', interval: 5000 })
  const [certificate] = config.virtualServices['search']?.tls?.certificates ?? []
  t.equal(certificate?.cert, join(root, 'examples/include/tls/search.pem'))
})
