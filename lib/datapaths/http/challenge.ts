/** The answer to an authority that asks whether we have a name: http-01 (RFC 8555 §8.3). */
import { fixedReply, type Reply } from '../../filters/index.ts'

/** null: it is a request like others. @param target in origin-form */
export function challengeReply(answers: ReadonlyMap<string, string>, method: string, target: string): Reply | null {
  const body = method === 'GET' || method === 'HEAD' ? answers.get(target) : undefined
  if (body === undefined) return null
  return fixedReply({ status: 200, fields: { 'Content-Type': 'application/octet-stream' }, body })
}
