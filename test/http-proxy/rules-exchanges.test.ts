/** The rules of docs/http.md for answers and connections, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine(
  'backend-connections',
  'bad-responses',
  'compression',
  'expect',
  'forwarding',
  'hop-by-hop',
  'own-answers',
  'pipelining',
  'responses',
  'retries',
  'timeouts',
  'upgrade',
  'websocket',
)
