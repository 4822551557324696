/** `evenkeel plan`: what a reload would do, as a difference in colour. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { PlanAnswer } from '../admin/index.ts'
import { renderProblems } from '../config/index.ts'
import { messageOf } from '../core/index.ts'
import { type AdminFlags, findAdmin, Refused, show } from './client.ts'
import { CommandFailure } from './failure.ts'
import { type Paint, painter } from './paint.ts'
import { harmless } from './table.ts'

export interface PlanFlags extends AdminFlags {
  readonly json?: boolean
}

type Plan = NonNullable<PlanAnswer['plan']>
type ServicePlan = Plan['services'][number]
type BackendPlan = ServicePlan['backends'][number]
type Difference = Plan['differences'][number]

const MOST = 60 // characters of a value
const SIGNS = { add: ['+', 'green'], change: ['~', 'yellow'], remove: ['-', 'red'] } as const

/** Answers the exit code: 0, also when nothing would change; 1: it would be refused; 2: it is not valid. */
export async function plan(file: string | undefined, flags: PlanFlags, configured: string): Promise<number> {
  const place = await findAdmin(flags, configured)
  const text = file === undefined ? '' : await textOf(file)
  const name = file === undefined ? '' : `?name=${encodeURIComponent(resolve(file))}`
  const answer = await show<PlanAnswer>(place, `/api/v1/plan${name}`, text, 'application/yaml').catch(
    (error: unknown) => {
      if (error instanceof Refused && isAnswer(error.value)) return error.value
      throw error
    },
  )
  const { problems, warnings, exit } = answer
  if (flags.json === true) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else {
    const colour = process.stderr.isTTY
    if (warnings.length > 0) process.stderr.write(renderProblems(warnings, { colour, noun: 'warning' }))
    if (answer.plan === null) process.stderr.write(renderProblems(problems, { colour }))
    else process.stdout.write(`${planLines(answer.plan, answer.hash, painter(process.stdout.isTTY)).join('\n')}\n`)
  }
  return exit
}

async function textOf(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CommandFailure(2, `${file} can't be read: ${messageOf(error)}`)
  })
  if (text.trim() === '') throw new CommandFailure(2, `${file} is empty`)
  return text
}

const isAnswer = (value: unknown): value is PlanAnswer =>
  typeof value === 'object' && value !== null && 'exit' in value && 'plan' in value

/** Pure: for a terminal, or for a file. */
export function planLines({ services, differences, refusals, obstacles }: Plan, hash: string, paint: Paint): string[] {
  const lines = services.flatMap((service) => serviceLines(service, paint))
  if (differences.length > 0) lines.push(...differences.map((each) => differenceLine(each, paint)))
  for (const refusal of [...refusals, ...obstacles]) lines.push(paint('red', `would be refused: ${harmless(refusal)}`))
  if (lines.length === 0) return ['nothing differs from what is in force']
  if (refusals.length + obstacles.length > 0) return lines
  return [
    ...lines,
    '',
    `in force is ${hash}: evenkeel reload --if-hash ${hash} does this, and nothing if that has changed meanwhile`,
  ]
}

function serviceLines(service: ServicePlan, paint: Paint): string[] {
  const { name, step, differences, backends, opened, closed, takenOver, flows, drainMs } = service
  const [sign, style] = SIGNS[step]
  const drains = step === 'remove' ? drainText(flows, drainMs) : ''
  return [
    paint(style, `${sign} ${name}${drains}`),
    ...opened.map((address) => `    ${paint('green', `+ listens on ${address}`)}`),
    ...takenOver.map(({ address, from }) => `    ${paint('yellow', `~ takes ${address} over from ${from}`)}`),
    ...closed.map((address) => `    ${paint('red', `- listens on ${address}`)}`),
    ...differences.map((each) => `    ${differenceLine(each, paint)}`),
    ...backends.flatMap((each) => backendLines(each, step === 'remove' ? null : drainMs, paint)),
  ]
}

/** @param drainMs null: it goes with its service, which tells of its flows */
function backendLines(
  { name, step, address, differences, flows }: BackendPlan,
  drainMs: number | null,
  paint: Paint,
): string[] {
  const [sign, style] = SIGNS[step]
  const at = name === address ? '' : ` ${address}`
  const drains = step === 'remove' && drainMs !== null ? drainText(flows, drainMs) : ''
  return [
    `    ${paint(style, `${sign} backend ${name}${at}${drains}`)}`,
    ...differences.map((each) => `        ${differenceLine(each, paint)}`),
  ]
}

const drainText = (flows: number, ms: number): string =>
  flows === 0
    ? ', no flow to drain'
    : `: ${flows === 1 ? '1 flow drains' : `${flows} flows drain`}, at most ${ms / 1000} s`

function differenceLine({ path: option, before, after }: Difference, paint: Paint): string {
  const path = harmless(option)
  if (before === undefined) return paint('green', `+ ${path}: ${valueText(after)}`)
  if (after === undefined) return paint('red', `- ${path}: ${valueText(before)}`)
  return paint('yellow', `~ ${path}: ${valueText(before)} → ${valueText(after)}`)
}

function valueText(value: unknown): string {
  const text = harmless(JSON.stringify(value) ?? 'not set')
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text
}
