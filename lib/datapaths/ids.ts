/** Ids of requests and flows: unique over threads, restarts and appliances, cheap to make. */
import { randomBytes } from 'node:crypto'

const prefix = randomBytes(8).toString('hex') // 64 random bits a thread
let count = 0

/** 24 hex digits: the thread's prefix and a count. */
export function newId(): string {
  count = (count + 1) >>> 0
  return prefix + (count + 0x1_0000_0000).toString(16).slice(1)
}
