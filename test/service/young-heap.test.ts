/** The memory that V8 takes for what is new: bounded before much of it outlives a collection, and not only behind that. */
import { once } from 'node:events'
import { cachedDataVersionTag, getHeapSpaceStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { boundYoungHeap, threadStarts, YOUNG_MIB } from '../../lib/service/young-heap.ts'

const MIB = 1024 * 1024
const young = (): number =>
  getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? Number.NaN

/** Much that outlives a collection or two. */
function churn(): unknown {
  const kept: object[] = []
  for (let i = 0; i < 1_000_000; i++) kept[i % 50_000] = { i, more: [i] }
  return kept[0]
}

t.test('while threads start V8 is as it was, else what outlives collections makes the young heap grow no more', (t) => {
  const tag = cachedDataVersionTag()
  boundYoungHeap()
  t.not(cachedDataVersionTag(), tag, 'what is compiled for other flags is not taken')
  const [one, other] = [threadStarts(), threadStarts()]
  one()
  t.equal(cachedDataVersionTag(), tag, 'the other still starts')
  other()
  const before = young()
  churn()
  t.ok(young() <= before, `${young() / MIB} MiB, before ${before / MIB}`)
  t.end()
})

t.test(
  'a data thread has all that it may take from the start: its collections are not more than they were',
  async (t) => {
    boundYoungHeap()
    const started = threadStarts()
    const worker = new Worker(
      `const { getHeapSpaceStatistics } = require('node:v8')
    const young = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size
    const kept = []
    for (let i = 0; i < 1e6; i++) kept[i % 50000] = { i }
    require('node:worker_threads').parentPort.postMessage(young())`,
      { eval: true, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } },
    )
    const [size] = (await once(worker, 'message')) as [number]
    started()
    t.equal(size / MIB, (YOUNG_MIB / 3) * 2, 'two semi-spaces')
    await worker.terminate()
  },
)
