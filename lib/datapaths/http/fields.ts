/** The field names that mean something to an intermediary, each with a number, found by a perfect hash. */

import {
  FORWARDED_PREFIX as FAMILY,
  HOP_BY_HOP_NAMES,
  IDENTITY_NAMES,
  PROTECTED_NAMES,
  UNTOUCHED_NAMES,
} from './field-names.ts'

const NAMES = [
  ...HOP_BY_HOP_NAMES,
  ...IDENTITY_NAMES,
  'host',
  'expect',
  'cookie',
  'authorization',
  'via',
  'date',
  'user-agent',
  'referer',
  'accept',
] as const
export type FieldName = (typeof NAMES)[number]

/** 0: a field that means nothing to us. 1: one of the X-Forwarded-… family that has no number of its own. */
export const OTHER = 0
export const FORWARDED_FAMILY = 1

/** Number of a known name. */
export const ID = Object.fromEntries(NAMES.map((name, i) => [name, i + 2])) as Readonly<Record<FieldName, number>>

const BYTES = NAMES.map((name) => Uint8Array.from(name, (char) => char.charCodeAt(0)))
const SLOTS = 256
const LOWER = new Uint8Array(256) // folds case, and `_` to `-`: the twins that CGI-like backends can't tell apart
for (let byte = 0; byte < 256; byte++) LOWER[byte] = byte >= 65 && byte <= 90 ? byte + 32 : byte === 95 ? 45 : byte

/** Length and three bytes that together differ for every name; `late` is the last but one (x-forwarded-host, -port). */
const slotOf = (length: number, first: number, middle: number, late: number, factor: number): number =>
  (((length * 37 + first * 7 + middle * 61 + late * 131) * factor) >>> 8) & (SLOTS - 1)

const late = (name: Uint8Array): number => name[name.length - 2] as number

/** A factor without collisions, found at load. */
const [FACTOR, TABLE] = ((): [number, Int8Array] => {
  for (let factor = 1; factor < 100_000; factor += 2) {
    const table = new Int8Array(SLOTS).fill(-1)
    const fits = BYTES.every((name, i) => {
      const slot = slotOf(name.length, name[0] as number, name[name.length >> 1] as number, late(name), factor)
      if (table[slot] !== -1) return false
      table[slot] = i
      return true
    })
    if (fits) return [factor, table]
  }
  throw new Error('no perfect hash for the field names')
})()

/** The number of the field name at `buf[start..end)`: case-blind, and a `_` counts as `-`. */
export function fieldId(buf: Buffer, start: number, end: number): number {
  const length = end - start
  const first = LOWER[buf[start] as number] as number
  const middle = LOWER[buf[start + (length >> 1)] as number] as number
  const before = length > 1 ? (LOWER[buf[end - 2] as number] as number) : 0
  const index = TABLE[slotOf(length, first, middle, before, FACTOR)] as number
  if (index >= 0) {
    const name = BYTES[index] as Uint8Array
    if (name.length === length) {
      let i = 0
      while (i < length && LOWER[buf[start + i] as number] === name[i]) i++
      if (i === length) return index + 2
    }
  }
  return first === 120 && length > FAMILY.length && inFamily(buf, start) ? FORWARDED_FAMILY : OTHER
}

const TELLING = FAMILY.length // bytes in which every known name has its hyphens; what follows a family is anybody's

/** Is a name that `fieldId` knows written with `_`? It is not the field itself, but taken for it by CGI-like backends. */
export function isTwin(buf: Buffer, start: number, end: number): boolean {
  const stop = Math.min(end, start + TELLING)
  for (let p = start; p < stop; p++) if (buf[p] === 95) return true
  return false
}

/** Is `buf[start..end)` the field name `name`, or its twin? */
export function namesField(buf: Buffer, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false
  for (let i = 0; i < name.length; i++)
    if (LOWER[buf[start + i] as number] !== LOWER[name.charCodeAt(i) & 255]) return false
  return true
}

function inFamily(buf: Buffer, start: number): boolean {
  for (let i = 0; i < FAMILY.length; i++) if (LOWER[buf[start + i] as number] !== FAMILY.charCodeAt(i)) return false
  return true
}

const set = (names: readonly FieldName[]): Uint8Array => {
  const flags = new Uint8Array(NAMES.length + 2)
  for (const name of names) flags[ID[name]] = 1
  return flags
}

export const HOP_BY_HOP = set(HOP_BY_HOP_NAMES)

export const IDENTITY = set(IDENTITY_NAMES)
IDENTITY[FORWARDED_FAMILY] = 1

/** Of identity, what goes on untouched behind a trusted proxy. */
export const UNTOUCHED = set(UNTOUCHED_NAMES)
UNTOUCHED[FORWARDED_FAMILY] = 1

export const PROTECTED = set([...PROTECTED_NAMES, ...IDENTITY_NAMES])
PROTECTED[FORWARDED_FAMILY] = 1
