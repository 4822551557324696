/** Reads the Prometheus text format 0.0.4 and takes nothing that a strict reader might not. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface ParsedFamily {
  readonly name: string
  readonly type: string
  readonly samples: Sample[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?|\+Inf|-Inf|NaN)$/

/** Throws an error that quotes the line. */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const families = new Map<string, ParsedFamily>()
  const helped = new Set<string>()
  const seen = new Set<string>()
  let current: ParsedFamily | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`)
    }
    if (line === '') continue
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line)
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment
      if (!NAME.test(name)) fail('no name')
      if (kind === 'HELP') {
        if (helped.has(name)) fail('HELP is repeated')
        helped.add(name)
        if (/\\[^\\n]/.test(rest)) fail('a bad escape')
        continue
      }
      if (families.has(name)) fail('TYPE is repeated')
      if (!helped.has(name)) fail('TYPE without HELP')
      if (!['counter', 'gauge', 'histogram', 'summary', 'untyped'].includes(rest)) fail('an unknown type')
      current = { name, type: rest, samples: [] }
      families.set(name, current)
      continue
    }
    const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (match === null || current === undefined) return fail('neither a comment nor a sample')
    const [, name = '', labelText = '', valueText = ''] = match
    if (!NAME.test(name) || !namesOf(current).includes(name)) fail(`a sample outside of its family ${current.name}`)
    if (!NUMBER.test(valueText)) fail('not a number')
    const labels = labelsIn(labelText, fail)
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(key)) fail('repeated')
    seen.add(key)
    const value = Number(valueText.replace('Inf', 'Infinity'))
    if (current.type === 'counter' && !(value >= 0)) fail('a counter below zero')
    current.samples.push({ name, labels, value })
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family)
  return families
}

const namesOf = ({ name, type }: ParsedFamily): string[] =>
  type === 'histogram'
    ? [`${name}_bucket`, `${name}_sum`, `${name}_count`]
    : type === 'summary'
      ? [name, `${name}_sum`, `${name}_count`]
      : [name]

function labelsIn(text: string, fail: (why: string) => never): Record<string, string> {
  const labels: Record<string, string> = Object.create(null)
  let at = 0
  while (at < text.length) {
    LABEL.lastIndex = at
    const match = LABEL.exec(text)
    if (match === null) return fail('bad labels')
    const [whole, name = '', value = '', end] = match
    if (name in labels) fail(`the label ${name} is repeated`)
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
    at += whole.length
    if (end === ',' && at === text.length) fail('a comma at the end')
  }
  return labels
}

/** Buckets rise in `le` and in value, end with +Inf, and agree with the count. */
function checkHistogram({ name, samples }: ParsedFamily): void {
  const groups = new Map<string, { buckets: Sample[]; sum?: number; count?: number }>()
  for (const sample of samples) {
    const { le: _le, ...rest } = sample.labels
    const key = JSON.stringify(Object.entries(rest).sort())
    const group = groups.get(key) ?? { buckets: [] }
    groups.set(key, group)
    if (sample.name.endsWith('_bucket')) group.buckets.push(sample)
    else if (sample.name.endsWith('_sum')) group.sum = sample.value
    else group.count = sample.value
  }
  for (const [key, { buckets, sum, count }] of groups) {
    let bound = Number.NEGATIVE_INFINITY
    let before = 0
    for (const { labels, value } of buckets) {
      const le = Number((labels['le'] ?? 'none').replace('Inf', 'Infinity'))
      if (!(le > bound)) throw new Error(`${name} ${key}: le ${labels['le']} does not rise`)
      if (value < before) throw new Error(`${name} ${key}: the bucket ${labels['le']} is below the one before`)
      bound = le
      before = value
    }
    if (bound !== Number.POSITIVE_INFINITY) throw new Error(`${name} ${key}: no bucket +Inf`)
    if (count !== before) throw new Error(`${name} ${key}: the count ${count} is not that of +Inf, ${before}`)
    if (sum === undefined) throw new Error(`${name} ${key}: no sum`)
  }
}

/** The sum of a series' samples that carry these labels; undefined: there are none. */
export function sampleOf(
  families: ReadonlyMap<string, ParsedFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ''))
  const found = (family?.samples ?? []).filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
}
