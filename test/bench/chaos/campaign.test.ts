/** A short run of the fault harness: `npm run chaos` goes on for longer, with other seeds. */
import t from 'tap'
import { run } from '../../../bench/chaos/campaign.ts'
import { SCENES } from '../../../bench/chaos/scenes.ts'

const SECONDS = 8
const seed = Number(process.env['EVENKEEL_CHAOS_SEED'] ?? 20261121)
const FEWEST = 200 // whole answers and streams: a hundredth of what a quiet machine has

t.setTimeout(170_000) // the start of a dozen processes on a busy machine included

t.test(
  `${SECONDS} s of faults (seed ${seed}): nothing lost, mixed up, cut without a sign, or executed twice`,
  async (t) => {
    const scene = SCENES['mixed']
    if (scene === undefined) throw new Error('no scene')
    const notes: string[] = []
    const note = (line: string): void => void notes.push(line)
    const campaign = { ...scene.campaign(seed, SECONDS), seed, seconds: SECONDS, note, keep: false }
    const { problems, flows, blows } = await run(campaign, new AbortController().signal)
    t.strictSame(problems, [], notes.join('\n'))
    const names = [
      'h1-get',
      'h1-post',
      'h1-new-get',
      'h1-tls-get',
      'h2-get',
      'h2-post',
      'tcp',
      'tls',
      'websocket',
      'wss',
      'h1-get@front-web',
      'h2-get@front-secure',
    ]
    for (const name of names) t.ok((flows[name]?.whole ?? 0) > 0, name)
    t.ok(Object.values(flows).reduce((sum, { whole }) => sum + whole, 0) >= FEWEST)
    t.ok(Object.keys(blows).length >= 5, `${Object.keys(blows)}`)
  },
)
