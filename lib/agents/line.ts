/**
 * The line of HAProxy's agent-check as facts: words between blanks and commas, in any case, the last of a kind counts; what
 * comes behind `#` is a reason. Its own manual: configuration, 5.2, `agent-check`.
 */
import { shortText } from '../core/index.ts'
import { type AgentReport, SILENT } from './contract.ts'

const MOST_PERCENT = 25_600 // HAProxy's bound: weight 1 times this is the greatest weight
const MOST_WEIGHT = 256
const MOST_CONNECTIONS = 10_000_000

/** Reads a line without its end. A word that means nothing, or whose number is out of range, is told and changes nothing. */
export function parseAgentLine(line: string): AgentReport {
  const comment = /(?:^|[ \t,])#/.exec(line)
  const words = comment === null ? line : line.slice(0, comment.index)
  let report: AgentReport =
    comment === null ? SILENT : { ...SILENT, reason: shortText(line.slice(comment.index + comment[0].length)) }
  for (const word of words.split(/[ \t,]+/)) {
    if (word === '') continue
    const fact = factOf(word)
    if (fact !== null) report = { ...report, ...fact }
    else if (report.ignored === '') report = { ...report, ignored: shortText(word) }
  }
  return report
}

function factOf(word: string): Partial<AgentReport> | null {
  const lower = word.toLowerCase()
  switch (lower) {
    case 'up':
      return { health: 'up' }
    case 'down':
    case 'fail':
    case 'stopped':
      return { health: 'down' }
    case 'ready':
    case 'drain':
    case 'maint':
      return { admin: lower }
    default:
      return numberOf(lower)
  }
}

function numberOf(lower: string): Partial<AgentReport> | null {
  const percent = /^(\d+)%$/.exec(lower)
  if (percent !== null) return { weight: { percent: Math.min(Number(percent[1]), MOST_PERCENT) } }
  const match = /^(weight|maxconn):(\d+)$/.exec(lower)
  if (match === null) return null
  const n = Number(match[2])
  if (match[1] === 'maxconn') return n > MOST_CONNECTIONS ? null : { maxConnections: n }
  return n > MOST_WEIGHT ? null : { weight: { absolute: n } }
}
