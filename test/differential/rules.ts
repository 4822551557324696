/** Every way in which the two engines may differ, with its reason. What no rule explains is a fault of one of them. */
import { METHODS } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import type { Case } from './generators.ts'
import type { Outcome, Returned } from './outcome.ts'

export interface Rule {
  readonly name: string
  readonly why: string
  /** As docs/http.md tells it. */
  readonly told: string
  /** Puts both outcomes into a form in which this difference does not show. */
  level?(outcome: Outcome, one: Case): Outcome
  /** Is the difference between these two outcomes this one and no other? */
  explains?(one: Case, native: Outcome, proxy: Outcome): boolean
}

const answerOf = (outcome: Outcome, change: (returned: Returned) => Returned): Outcome =>
  outcome.returned === null ? outcome : { ...outcome, returned: change(outcome.returned) }

const statusOf = ({ returned }: Outcome): number => Number(returned?.line.split(' ')[1] ?? 0)
const refused = (outcome: Outcome, status: number): boolean =>
  statusOf(outcome) === status && outcome.arrived.length === 0 && outcome.returned?.keeps === false

const is100 = (interim: string): boolean => interim.startsWith('HTTP/1.1 100')

/** The same reached the backend, and the client of `proxy` alone got no whole answer. */
const brokenOff = (native: Outcome, proxy: Outcome): boolean =>
  native.returned !== null && proxy.returned === null && isDeepStrictEqual(native.arrived, proxy.arrived)

const OWN = /^(?:\d{3} [\w -]+(?:: [^\n]+)?\nrequest id [\w.:=+/@-]+\n|\{"status":\d+,.*"requestId":"[^"]+"\}\n)$/

export const RULES: readonly Rule[] = [
  {
    name: 'our own answers',
    told: 'Our own answers to heads that node refuses say less of what was wrong.',
    why: 'They carry the request id and our words for what was wrong; node:http tells us less of it. The status must agree.',
    level: (outcome) =>
      answerOf(outcome, (returned) => {
        const head = returned.body === '' && returned.fields.includes('Cache-Control: no-store')
        if (!OWN.test(returned.body) && !head) return returned
        const fields = returned.fields.filter((field) => !/^(?:Content-Length|Date): /.test(field))
        return { ...returned, body: '(ours)', fields, framing: 'length' }
      }),
  },
  {
    name: 'Expect without a 100',
    told: 'An expectation that got no 100 before the final answer ends the connection.',
    why: 'After a final answer to an expectation that got no 100, node:http closes the connection.',
    level: (outcome, { request }) =>
      /^expect:[ \t]*100-continue/im.test(request.lines) && outcome.returned?.interim.some(is100) !== true
        ? answerOf(outcome, (returned) => ({ ...returned, keeps: false }))
        : outcome,
  },
  {
    name: 'Expect beside bytes from 0x80 up',
    told: 'Expect does not go on beside values with bytes from 0x80 up; we send the 100.',
    why: 'node:http writes a head with Expect as UTF-8. So it stays here, and we answer the expectation.',
    level: (outcome, { request }) => {
      if (!/^expect:/im.test(request.lines) || !/[\x80-\xff]/.test(request.lines)) return outcome
      const levelled = answerOf(outcome, (returned) => ({
        ...returned,
        keeps: false,
        interim: returned.interim.filter((one) => !is100(one)),
      }))
      const without = (fields: readonly string[]): string[] => fields.filter((field) => !/^expect:/i.test(field))
      return { ...levelled, arrived: levelled.arrived.map((one) => ({ ...one, fields: without(one.fields) })) }
    },
  },
  {
    name: 'Content-Length behind Content-Disposition',
    told: 'Content-Length goes behind Content-Disposition.',
    why: 'node:http garbles a Content-Disposition that follows a Content-Length, so the length goes behind it.',
    level: (outcome) =>
      answerOf(outcome, (returned) => {
        const { fields } = returned
        if (!fields.some((field) => /^content-disposition:/i.test(field))) return returned
        const lengths = fields.filter((field) => /^content-length:/i.test(field))
        return { ...returned, fields: [...fields.filter((field) => !lengths.includes(field)), ...lengths] }
      }),
  },
  {
    name: 'unknown methods',
    told: 'Methods that node:http does not know are refused; its list is `http.METHODS`.',
    why: 'node:http knows the methods of http.METHODS and no others.',
    explains: ({ request }, _native, proxy) => !METHODS.includes(request.method) && refused(proxy, 400),
  },
  {
    name: 'several faults in one head',
    told: "Of several faults in one head node's 400 is told, not our 405, 417, 501, 505 or 508.",
    why: "node's parser reads a head to its end before we look at it: its 400 comes before a 405, 417, 501, 505 or 508 of ours.",
    explains: (_one, native, proxy) =>
      refused(native, statusOf(native)) && statusOf(native) > 400 && refused(proxy, 400),
  },
  {
    name: 'white space in chunk extensions',
    told: 'A space in front of the name of a chunk extension is refused.',
    why: "node's parser refuses a space in front of the name of an extension.",
    explains: ({ request, answer }, native, proxy) =>
      request.body.includes('; a=') ? refused(proxy, 400) : answer.text.includes('; a=') && brokenOff(native, proxy),
  },
  {
    name: '101 without Connection: upgrade',
    told: 'A 101 without `Connection: upgrade` is a 502.',
    why: 'node:http takes a switch of protocols for one only where Connection names it, as RFC 9110 §7.8 asks for.',
    explains: ({ answer }, native, proxy) =>
      /^HTTP\/1\.\d 101 /m.test(answer.text) && statusOf(native) === 101 && statusOf(proxy) === 502,
  },
]
