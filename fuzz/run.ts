/**
 * The fuzzer: `npm run fuzz -- --target request --count 100000 --seed 1`. Damages inputs of the corpus, holds the target's
 * promises against each, and keeps what breaks one. Exit code 1 when anything did.
 */
import { parseArgs } from 'node:util'
import { keep, readCorpus } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { minimise } from './minimise.ts'
import { mutate } from './mutate.ts'
import { Random } from './random.ts'
import { Broken, type Target } from './target.ts'
import { TARGETS } from './targets/index.ts'

const USAGE = `usage: npm run fuzz -- [options]
  --target A,B   of: ${TARGETS.map(({ name }) => name).join(', ')} (all)
  --count N      inputs for each target (100000)
  --seed N       of the random numbers (1)
  --grow         keep inputs that reach what none reached before; slower
`
const MOST_FINDS = 10 // different ones of a target; more say nothing more
const BATCH = 200 // inputs between two looks at the coverage
const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** What is wrong, without what differs from input to input. */
const kindOf = (message: string): string => message.replace(/"(?:[^"\\]|\\.)*"|\d+/g, '…').slice(0, 120)

function messageOf(target: Target, input: Buffer, seed: number): string {
  try {
    target.check(input, new Random(seed))
    return ''
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  }
}

/** The inputs that mutations start from, and the growing of them. */
class Pool {
  readonly texts: string[]
  readonly #target: Target
  readonly #met = new Set<string>()
  readonly #coverage: Coverage | null
  #batch: { text: string; seed: number }[] = []
  kept = 0

  constructor(target: Target, grow: boolean) {
    this.#target = target
    this.texts = [...target.seeds]
    for (const input of readCorpus(target.name).values()) this.texts.push(input.toString('latin1'))
    this.#coverage = grow ? new Coverage() : null
    for (const text of this.texts) this.#run(text, 0)
    this.#coverage?.fresh()
  }

  #run(text: string, seed: number): string {
    try {
      const met = this.#target.check(Buffer.from(text, 'latin1'), new Random(seed))
      this.#met.add(met)
      return met
    } catch {
      return ''
    }
  }

  /** An input met this; is it worth keeping? */
  note(text: string, seed: number, met: string): void {
    if (this.#coverage === null) return
    if (!this.#met.has(met)) {
      this.#met.add(met)
      this.#keep(text, (less) => this.#run(less, seed) === met)
      this.#coverage.fresh()
    }
    this.#batch.push({ text, seed })
    if (this.#batch.length < BATCH) return
    if (this.#coverage.fresh() > 0) for (const one of this.#batch) this.#look(one)
    this.#batch = []
  }

  /** Which one of a batch was it? Blocks that are known by now do not tell: V8 is asked anew with each. */
  #look({ text, seed }: { text: string; seed: number }): void {
    const again = new Coverage()
    for (const known of this.texts) this.#run(known, seed)
    again.fresh()
    this.#run(text, seed)
    const fresh = again.fresh()
    again.close()
    if (fresh > 0) this.#keep(text, () => false)
  }

  #keep(text: string, still: (text: string) => boolean): void {
    const small = minimise(Buffer.from(text, 'latin1'), (less) => still(less.toString('latin1')))
    this.texts.push(small.toString('latin1'))
    keep(this.#target.name, small)
    this.kept++
  }

  close(): void {
    this.#coverage?.close()
  }
}

/** @returns the number of different finds */
function fuzz(target: Target, count: number, seed: number, grow: boolean): number {
  const random = new Random(seed)
  const pool = new Pool(target, grow)
  const finds = new Map<string, string>()
  const verdicts = new Map<string, number>()
  const begun = performance.now()
  for (let i = 0; i < count && finds.size < MOST_FINDS; i++) {
    const text = mutate(random.pick(pool.texts), target.words, pool.texts, random)
    const own = random.next()
    let met = ''
    try {
      met = target.check(Buffer.from(text, 'latin1'), new Random(own))
    } catch (error) {
      const kind = kindOf(error instanceof Error ? error.message : String(error))
      if (finds.has(kind)) continue
      const input = Buffer.from(text, 'latin1')
      const small = minimise(input, (less) => kindOf(messageOf(target, less, own).replace(/^\w+: /, '')) === kind)
      const file = keep(target.name, small)
      finds.set(kind, file)
      print(
        `${target.name}: input ${i}: ${messageOf(target, small, own)}\n  ${JSON.stringify(small.toString('latin1'))}\n  kept in ${file}`,
      )
      if (!(error instanceof Broken) && error instanceof Error) print(`  ${error.stack}`)
      continue
    }
    const word = met.split(' ')[0] ?? ''
    verdicts.set(word, (verdicts.get(word) ?? 0) + 1)
    pool.note(text, own, met)
  }
  pool.close()
  const seconds = (performance.now() - begun) / 1000
  const tally = [...verdicts].sort((a, b) => b[1] - a[1]).map(([word, n]) => `${word} ${n}`)
  print(
    `${target.name}: ${count} inputs, seed ${seed}, ${seconds.toFixed(0)} s, ${Math.round(count / seconds)}/s; ` +
      `${finds.size} finds, ${pool.kept} kept; ${tally.slice(0, 8).join(', ')}`,
  )
  return finds.size
}

function main(): number {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      count: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      grow: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const names = values.target?.split(',') ?? TARGETS.map(({ name }) => name)
  const targets = names.flatMap((name) => TARGETS.find((target) => target.name === name) ?? [])
  const [count, seed] = [Number(values.count), Number(values.seed)]
  if (values.help || targets.length < names.length || !Number.isSafeInteger(count) || !Number.isSafeInteger(seed)) {
    print(USAGE)
    return values.help ? 0 : 2
  }
  let finds = 0
  for (const target of targets) finds += fuzz(target, count, seed, values.grow)
  return finds === 0 ? 0 : 1
}

process.exitCode = main()
