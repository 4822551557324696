/**
 * The same agent asked by us and by the real haproxy: both read its lines the same way. Where we mean to differ is
 * said in docs/balancing.md.
 */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createAgent } from '../../lib/agents/index.ts'
import { afterReport, NO_AGENT, weightBy, wishOf } from '../../lib/service/agent-watch.ts'
import { needs, startHaproxy } from '../proxy-protocol/fixtures/peers.ts'
import { startTcpBackend } from '../support/backend.ts'
import { eventually, within } from '../support/eventually.ts'
import { loadOf, says, startAgent } from './fixtures/support.ts'

const skip = needs('haproxy')
const CONFIGURED = 100
const NEUTRAL = 'ready up 100% maxconn:0\n'
const ASKS = 3 // when the third question comes, the answers to those before it have been worked on

type Script = (socket: Socket) => void

/** What both are compared by. */
interface Seen {
  readonly state: 'up' | 'down' | 'drain' | 'maint'
  /** 0 in maintenance, where haproxy's answer does not tell it. */
  readonly weight: number
  /** 0: no limit. */
  readonly most: number
}

const trickle =
  (text: string): Script =>
  (socket) => {
    let at = 0
    socket.setNoDelay()
    const next = (): void => {
      const byte = text[at++]
      if (byte === undefined) socket.end()
      else socket.write(byte, () => setImmediate(next))
    }
    next()
  }

const WIRE: readonly (readonly [title: string, script: Script])[] = [
  ['a line without its end', says('down')],
  ['nothing at all', says('')],
  ['an empty line', says('\n')],
  ['blanks alone', says(' \t ,\n')],
  ['CR LF', says('drain\r\n')],
  ['CR alone', says('drain\rup\n')],
  ['NUL for an end', says('drain\0up\n')],
  ['two lines', says('drain\nready\n')],
  ['a line byte by byte', trickle('drain 50%\n')],
  ['a reset', (socket) => socket.resetAndDestroy()],
  ['a reset in the middle of a line', (socket) => socket.write('down', () => socket.resetAndDestroy())],
]

// biome-ignore format: a table
const LINES = [
  '75%', '0%', '1%', '100%', '150%', '300%', '99999%', '50% 60%', '7.5%', '50%x', '-5%', '+5%', '%', '75', '5%%', '050%',
  'up', 'UP', 'Down', 'down', 'stopped', 'FAIL # reason', 'fail #', 'down#x', 'up down', 'down up',
  'ready', 'drain', 'DRAIN', 'maint', 'Maint 30%', 'drain maint', 'maint drain', 'drain ready', 'drain down', 'maint up',
  '  drain  ', '\tdrain', 'drain,50%', ',,drain,,', 'drain;50%', 'drain, 50% , down', '#drain', '# 50%', '50% #drain', '50%#drain',
  'garbage', 'garbage 40%', '40% garbage', 'garbage down', 'weight', 'up 75% garbage # why',
  'maxconn:30', 'MAXCONN:30', 'maxconn:0', 'maxconn:', 'maxconn:x', 'maxconn:3x', 'maxconn', 'maxconn: 30', 'maxconn:5 maxconn:6',
  'up ready 20% maxconn:7 # all at once',
]

/** Lines one after the other, each on top of what the ones before it left. */
const STORIES = [
  ['down', '75%', 'up'],
  ['down', 'ready', 'up'],
  ['drain', 'up', '50%', 'ready'],
  ['maint', 'up', 'down', 'ready', 'up'],
  ['0%', 'up', 'ready', '10%'],
  ['maint 30%', 'ready'],
  ['drain', 'maint', 'drain', 'ready'],
  ['down', 'drain', 'up', 'ready'],
  ['maxconn:5', 'up', '50%', 'maxconn:0'],
  ['fail', 'garbage', 'stopped', '', 'up'],
]

/** Where we mean to differ: see docs/balancing.md. */
const DIFFERENT: readonly (readonly [line: string, haproxy: Partial<Seen>, us: Partial<Seen>])[] = [
  ['weight:7', { weight: CONFIGURED }, { weight: 7 }],
  ['maxconn:-1', { most: 2 ** 32 - 1 }, { most: 0 }],
]

t.test('beside haproxy', { skip, timeout: 150_000 }, async (t) => {
  const backend = await startTcpBackend(t)
  const his = await startAgent(t, says(NEUTRAL))
  const ours = await startAgent(t, says(NEUTRAL))
  const { dir } = await startHaproxy(
    t,
    1,
    {},
    ({ dir, ports }) => `global
  stats socket ${dir}/stats.sock
listen front
  mode tcp
  bind 127.0.0.1:${ports[0]}
  balance roundrobin
  timeout check 5s
  server b1 ${backend.address} weight ${CONFIGURED} check inter 1s agent-check agent-port ${his.port} agent-inter 20ms
`,
  )
  const agent = createAgent(loadOf({ type: 'agent', port: ours.port }))
  let facts = NO_AGENT

  /** Lets haproxy ask the script, and asks it ourselves. */
  async function hear(script: Script): Promise<readonly [haproxy: Seen, us: Seen]> {
    his.script = script
    ours.script = script
    const from = his.asked
    await eventually('haproxy asks', () => his.asked >= from + ASKS, 20_000)
    await agent.ask({ host: '127.0.0.1', port: ours.port }, AbortSignal.timeout(5000)).then(
      (report) => {
        facts = afterReport(facts, report)
      },
      () => {}, // changes nothing
    )
    const weight = weightBy(facts, CONFIGURED)
    const wish = wishOf(facts)
    const state = wish === 'maintenance' ? 'maint' : wish === 'ready' ? 'up' : wish
    const us: Seen = { state, weight: state === 'maint' ? 0 : weight, most: facts.maxConnections ?? 0 }
    return [await ask(dir), us]
  }

  const neutral = async (t: Test): Promise<void> => {
    const [haproxy, us] = await hear(says(NEUTRAL))
    t.same([haproxy, us], Array(2).fill({ state: 'up', weight: CONFIGURED, most: 0 }), 'both are neutral before')
  }

  for (const [title, script] of [...WIRE, ...LINES.map((line) => [JSON.stringify(line), says(`${line}\n`)] as const)])
    await t.test(title, async (t) => {
      await neutral(t)
      const [haproxy, us] = await hear(script)
      t.same(us, haproxy, JSON.stringify(haproxy))
    })

  for (const [line, his, our] of DIFFERENT)
    await t.test(`${line} is another matter`, async (t) => {
      await neutral(t)
      const [haproxy, us] = await hear(says(`${line}\n`))
      t.match(haproxy, his)
      t.match(us, our)
    })

  for (const story of STORIES)
    await t.test(story.map((line) => JSON.stringify(line)).join(', then '), async (t) => {
      await neutral(t)
      for (const line of story) {
        const [haproxy, us] = await hear(says(`${line}\n`))
        t.same(us, haproxy, `${line}: ${JSON.stringify(haproxy)}`)
      }
    })
})

/** What haproxy says of its one server, over its socket. */
async function ask(dir: string): Promise<Seen> {
  const socket = connect(`${dir}/stats.sock`)
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  const ended = new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject))
  socket.write('show stat\n')
  await within(ended, 'an answer of haproxy')
  const [head = '', ...rows] = text.split('\n')
  const names = head.replace('# ', '').split(',')
  const row = rows.map((line) => line.split(',')).find(([, server]) => server === 'b1') ?? []
  const field = (name: string): string => row[names.indexOf(name)] ?? ''
  const [word = ''] = field('status').toLowerCase().split(' ')
  return {
    state: word as Seen['state'],
    weight: word === 'maint' ? 0 : Number(field('weight')),
    most: Number(field('slim')),
  }
}
