/** The rules of docs/http.md for requests, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine(
  'chunks',
  'field-syntax',
  'host',
  'limits',
  'request-length',
  'request-line',
  'transfer-encoding',
  'trailers',
)
