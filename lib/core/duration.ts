/** Durations as people write them. */

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const MAX_DURATION_MS = 24 * 3_600_000 // one day: longer is a typing error in every option that we have

/** @returns milliseconds, or a sentence that says what is wrong */
export function durationOf(value: string | number): number | string {
  if (value === 0 || value === '0') return 0
  if (typeof value === 'number') return `${value} has no unit; write ${value}s or ${value}ms`
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value)
  if (match === null) return `${JSON.stringify(value)} is not a duration; write 500ms, 2s, 5m or 1h`
  const ms = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 1)
  return ms > MAX_DURATION_MS ? `${value} is above the greatest value, 24h` : ms
}
