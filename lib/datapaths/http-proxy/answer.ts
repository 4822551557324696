/** node:http's answer to a client, with the try that it comes from. */
import { ServerResponse } from 'node:http'
import type { Attempt } from './attempt.ts'

export class Answer extends ServerResponse {
  attempt: Attempt | null = null
}
