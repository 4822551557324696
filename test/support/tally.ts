/** Reads what test files print: TAP, of one file, or of several that ran in one process. */

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
}

/** Seconds that a file took, by the wall and of CPU time, all that it started included. */
export interface Time {
  readonly wall: number
  readonly cpu: number
}

/** Counts the innermost results of a TAP report: a line that stands for a group of others is not one. */
export function tally(report: string): Counts {
  let passed = 0
  let failed = 0
  const skipped: string[] = []
  let before = ''
  for (const line of report.split('\n')) {
    const match = /^(\s*)(not ok|ok) \d+(?: - )?(.*)$/.exec(line)
    if (match !== null) {
      const [, indent = '', verdict, text = ''] = match
      const skip = /# SKIP ?(.*)$/.exec(text)
      if (skip !== null) skipped.push(`${text.slice(0, skip.index).trim()}: ${skip[1]}`)
      else if (before.startsWith(`${indent}    `)) {
        // the group of what stands above it, indented
      } else if (verdict === 'ok') passed++
      else failed++
    }
    before = line
  }
  return { passed, failed, skipped }
}

export interface Section {
  readonly report: string
  readonly failed: boolean
  readonly time: Time
}

/** What test/support/host.ts says of each file that it has run to its end. */
export function sections(report: string): Map<string, Section> {
  const found = new Map<string, Section>()
  let lines: string[] = []
  for (const line of report.split('\n')) {
    const took = /^# took (\S+) s, (\S+) s of CPU: (.*)$/.exec(line)
    if (took === null) {
      lines.push(line)
      continue
    }
    const [, wall, cpu, file = ''] = took
    const failed = !lines.some((line) => /^ok \d/.test(line)) // its own line, at the outermost
    found.set(file, { report: `${lines.join('\n')}\n`, failed, time: { wall: Number(wall), cpu: Number(cpu) } })
    lines = []
  }
  return found
}
