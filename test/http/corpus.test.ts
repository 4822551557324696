/** Every input that ever broke a promise of a parser, or reached what no other did, and some new ones: the promises hold. */
import { randomInt } from 'node:crypto'
import t from 'tap'
import { readCorpus } from '../../fuzz/corpus.ts'
import { mutate } from '../../fuzz/mutate.ts'
import { Random } from '../../fuzz/random.ts'
import { TARGETS } from '../../fuzz/targets/index.ts'

const WAYS = 24 // of cutting each input, and of choosing rules for it
const NEW = 3000 // inputs made here for each target

for (const target of TARGETS)
  t.test(`${target.name}: all promises hold for the corpus, however it is cut, and for what is made of it`, (t) => {
    const corpus = [...readCorpus(target.name)]
    t.ok(corpus.length >= 5, `${corpus.length} inputs`)
    const problem = (input: Buffer, seed: number): string => {
      try {
        target.check(input, new Random(seed))
        return ''
      } catch (error) {
        return `${error} for ${JSON.stringify(input.toString('latin1').slice(0, 500))}`
      }
    }
    for (const [name, input] of corpus) {
      const problems = Array.from({ length: WAYS }, (_, seed) => problem(input, seed)).filter((text) => text !== '')
      if (problems.length > 0) t.fail(`${name}: ${problems[0]}`)
    }
    const seed = randomInt(2 ** 31)
    const random = new Random(seed)
    const texts = [...target.seeds, ...corpus.map(([, input]) => input.toString('latin1'))]
    for (let i = 0; i < NEW; i++) {
      const input = Buffer.from(mutate(random.pick(texts), target.words, texts, random), 'latin1')
      const found = problem(input, random.next())
      if (found !== '') {
        t.fail(`seed ${seed}, input ${i}: ${found}`)
        break
      }
    }
    t.pass(`${NEW} new ones`)
    t.end()
  })
