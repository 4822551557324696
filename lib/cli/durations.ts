/** Durations as people read them. */

const two = (n: number): string => String(n).padStart(2, '0')

/** `45s`, `3m12s`, `2h05m`, `3d4h` */
export function compact(ms: number): string {
  const s = Math.floor(ms / 1000)
  if (s < 60) return `${s}s`
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`
  if (s < 86_400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`
  return `${Math.floor(s / 86_400)}d${Math.floor(s / 3600) % 24}h`
}

/** The same with a fraction where that says something: `1.2 ms`, `140 ms`, `0.8 s`, `12 s`, `3m12s` */
export function precise(ms: number): string {
  if (ms < 99.5) return `${ms.toFixed(1)} ms`
  if (ms < 500) return `${ms.toFixed(0)} ms`
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`
  return ms < 60_000 ? `${Math.floor(ms / 1000)} s` : compact(ms)
}

/** `0.8 s ago`: tenths of a second, and nothing finer. */
export const ago = (ms: number): string => `${ms < 9950 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : precise(ms)} ago`
