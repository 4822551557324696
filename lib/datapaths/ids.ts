/** Ids of requests and flows: unique over threads, restarts and appliances, cheap to make. */
import { randomBytes } from 'node:crypto'

const HEX = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, '0')) // printing a number costs ten times a look-up

const random = randomBytes(8).toString('hex') // 64 random bits a thread
let high = -1
let prefix = ''
let count = 0xff_ffff

/** 24 hex digits: the thread's random ones and a count. */
export function newId(): string {
  count = (count + 1) & 0xff_ffff
  if (count === 0) {
    high = (high + 1) & 0xff
    prefix = random + high.toString(16).padStart(2, '0')
  }
  return prefix + HEX[count >>> 12] + HEX[count & 0xfff]
}
