/** Collecting a thread's garbage on purpose. */
import { cachedDataVersionTag } from 'node:v8'
import t from 'tap'
import { collectGarbage } from '../../lib/core/index.ts'

t.test('what nobody holds any more is gone behind a collection, and again behind the next', async (t) => {
  for (const turn of ['the first', 'the second']) {
    let large: object | null = { bytes: Buffer.alloc(1024) }
    const seen = new WeakRef(large)
    await new Promise(setImmediate) // a WeakRef holds what it was made of until the end of the turn
    t.not(seen.deref(), undefined, `${turn}: as long as it is held`)
    await new Promise(setImmediate)
    t.ok(large)
    large = null
    collectGarbage()
    t.equal(seen.deref(), undefined, turn)
  }
})

t.test('what V8 has compiled before is still taken behind it', (t) => {
  const tag = cachedDataVersionTag()
  collectGarbage()
  t.equal(cachedDataVersionTag(), tag)
  t.end()
})
