/** Load agents over the wire: what they say is seen in states, weights, the API and the metrics. */
import t, { type Test } from 'tap'
import { says, startAgent, type TestAgent } from '../agents/fixtures/support.ts'
import { startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { roundTrip } from '../support/raw.ts'

const names = ['a', 'b']
const request = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`

/** The name of the backend that answered. */
const who = async (port: number, bytes: string): Promise<string> => {
  const { status, body } = await roundTrip(port, bytes)
  return status === 200 ? (body.toString().split(' ')[0] ?? '') : String(status)
}

interface BackendLike {
  readonly name: string
  readonly state: string
  readonly effectiveWeight: number
  readonly maxConnections: number
  readonly load: number | null
  readonly cause: string
  readonly why: string
  readonly agent: { readonly wish: string; readonly ok: boolean; readonly detail: string } | null
}

async function backendsOf(balancer: Balancer, service: string): Promise<BackendLike[]> {
  const view = (await (await balancer.get(`/api/v1/services/${service}`)).json()) as { backends: BackendLike[] }
  return view.backends
}

async function withAgents(t: Test, load: Record<string, unknown>, scripts: readonly string[], balance: string) {
  const backends = await Promise.all(scripts.map((_, i) => startBackend(t, names[i])))
  const reply = (text: string): TestAgent['script'] =>
    load['type'] === 'http'
      ? (socket) =>
          socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`))
      : says(text)
  const agents = await Promise.all(scripts.map((script) => startAgent(t, reply(script))))
  // A pool for each backend: all backends of a pool are asked at the same port.
  const pools = Object.fromEntries(
    backends.map(({ name, address }, i) => [
      name,
      { load: { ...load, port: agents[i]?.port }, balance, backends: [{ name, address, weight: 10 }] },
    ]),
  )
  const routes = backends.map(({ name }) => ({ match: { path: `/${name}` }, pool: name }))
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: {
      web: { listen: ['127.0.0.1:0'], protocol: 'http', health: { type: 'tcp', interval: '100ms' }, routes, pools },
    },
  })
  const say = (i: number, text: string): void => {
    const agent = agents[i]
    if (agent !== undefined) agent.script = reply(text)
  }
  const until = (what: string, name: string, test: (backend: BackendLike) => boolean): Promise<BackendLike> =>
    eventually(what, async () => (await backendsOf(balancer, 'web')).find((each) => each.name === name && test(each)))
  return { balancer, say, until, agents }
}

t.test('an agent drains, weighs, bounds and takes down, and only it undoes that', async (t) => {
  const load = { type: 'agent', interval: '100ms', timeout: '100ms' }
  const { balancer, say, until, agents } = await withAgents(t, load, ['ready up 100%\n'], 'round-robin')
  const port = balancer.port('web')
  const up = await until('the first report', 'a', ({ state, agent }) => state === 'up' && agent?.ok === true)
  t.match(up, { effectiveWeight: 10, maxConnections: 0, agent: { wish: 'ready' } })
  t.equal(await who(port, request('/a')), 'a')

  say(0, 'drain # patching\n')
  t.match(await until('a drain', 'a', ({ state }) => state === 'draining'), {
    cause: 'agent',
    why: 'agent: drain, 100% (patching)',
  })
  t.equal(await who(port, request('/a')), '503')
  say(0, '75% maxconn:3\n')
  t.match(await until('a weight', 'a', (b) => b.effectiveWeight === 7.5), { state: 'draining', maxConnections: 3 })
  say(0, 'ready\n')
  await until('the end of the drain', 'a', ({ state }) => state === 'up')
  t.equal(await who(port, request('/a')), 'a')
  t.match(await balancer.metrics(), /evenkeel_backend_weight\{[^}]*backend="a"\} 7\.5\n/)
  t.match(
    await balancer.metrics(),
    /evenkeel_backend_state_changes_total\{[^}]*from="up",to="draining",cause="agent"\} 1\n/,
  )

  say(0, 'down # disk\n')
  await until('down', 'a', ({ state, cause }) => state === 'down' && cause === 'agent')
  const [agent] = agents
  if (agent !== undefined) agent.script = (socket) => socket.resetAndDestroy()
  await until('an agent in trouble', 'a', ({ agent }) => agent?.ok === false)
  t.match(await until('what it said last holds', 'a', () => true), { state: 'down', agent: { wish: 'down' } })
  say(0, 'up maint\n')
  await until('maintenance', 'a', ({ state }) => state === 'maintenance')
  say(0, 'ready\n')
  await until('back', 'a', ({ state }) => state === 'up')
  say(0, '0%\n')
  await until('weight 0', 'a', ({ effectiveWeight }) => effectiveWeight === 0)
  t.equal(await who(port, request('/a')), '503', 'weight 0 takes no new flows')
})

t.test('a load over HTTP is shown, and 101 and 102 take the backend out until a load comes again', async (t) => {
  const load = { type: 'http', path: '/load', interval: '100ms', timeout: '100ms' }
  const { balancer, say, until, agents } = await withAgents(t, load, ['40\n', '0\n'], 'least-load')
  const port = balancer.port('web')
  await until('a load', 'a', ({ load, state }) => load === 40 && state === 'up')
  await until('an idle one', 'b', ({ load }) => load === 0)
  t.match(await balancer.metrics(), /evenkeel_backend_load\{[^}]*backend="a"\} 40\n/)
  t.equal(await who(port, request('/a')), 'a')
  say(0, '101\n')
  await until('down', 'a', ({ state, cause }) => state === 'down' && cause === 'agent')
  say(0, '102\n')
  await until('disabled', 'a', ({ state }) => state === 'maintenance')
  say(0, '<html>\n')
  await until('nonsense', 'a', ({ agent }) => agent?.detail.startsWith('not a load') === true)
  t.match(await until('its load is unknown after three intervals', 'a', ({ load }) => load === null), {
    state: 'maintenance',
  })
  t.notMatch(await balancer.metrics(), /evenkeel_backend_load\{[^}]*backend="a"\}/)
  say(0, '5\n')
  await until('back', 'a', ({ state, load }) => state === 'up' && load === 5)
  t.equal(await who(port, request('/a')), 'a')
  t.ok((agents[0]?.asked ?? 0) > 5)
})
