/** The rules of docs/http.md for answers and connections, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine(
  'all-down',
  'backend-connections',
  'bad-responses',
  'compression',
  'expect',
  'filters',
  'forwarding',
  'hop-by-hop',
  'own-answers',
  'pipelining',
  'queue',
  'responses',
  'retries',
  'routes',
  'timeouts',
  'upgrade',
  'websocket',
  '../limits/early-requests',
  '../proxy-protocol/send',
)
