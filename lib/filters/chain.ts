/** Makes one chain of the filters of a service, each under its condition. */
import { type Condition, compileCondition } from './conditions.ts'
import type { Chain, Filter, Reply, RequestView, ResponseView } from './contract.ts'
import { RefusedError, replyOf } from './refusal.ts'

type OnRequest = (request: RequestView) => Reply | undefined
type OnResponse = (response: ResponseView) => void

/** Both ways in the order given: requests until one filter replies, responses through all. */
export function chainOf(filters: readonly Filter[]): Chain {
  const requests = filters.flatMap(({ onRequest }) => (onRequest === undefined ? [] : [onRequest]))
  const responses = filters.flatMap(({ onResponse }) => (onResponse === undefined ? [] : [onResponse]))
  return {
    onRequest: requests.length === 0 ? null : (request) => runRequest(requests, request),
    onResponse: responses.length === 0 ? null : (response) => runResponse(responses, response),
  }
}

function runRequest(filters: readonly OnRequest[], request: RequestView): Reply | undefined {
  try {
    for (const filter of filters) {
      const reply = filter(request)
      if (reply !== undefined) return reply
    }
    return undefined
  } catch (error) {
    if (error instanceof RefusedError) return replyOf(error.refusal)
    throw error
  }
}

function runResponse(filters: readonly OnResponse[], response: ResponseView): void {
  for (const filter of filters) filter(response)
}

/**
 * The filter for those requests only that meet the condition. On the way to the backend it is asked of the path as it
 * is by then; on the way back of the path that the client asked for, which is the one that answers are about.
 */
export function guarded({ onRequest, onResponse }: Filter, when: Condition): Filter {
  const test = compileCondition(when)
  const filter: Filter = {}
  if (onRequest !== undefined)
    filter.onRequest =
      test === null ? onRequest : (request) => (test(request, request.path) ? onRequest(request) : undefined)
  if (onResponse !== undefined)
    filter.onResponse =
      test === null
        ? onResponse
        : (response) => {
            if (test(response.request, response.request.originalPath)) onResponse(response)
          }
  return filter
}
