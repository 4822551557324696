/** Waits for something to become true, by asking again until a deadline. */

/** For what comes at once on a quiet machine; a busy one takes its time, and nothing waits longer than it must. */
const PATIENCE_MS = 20_000
const SOONEST_MS = 5
const LATEST_MS = 50
const SHARE = 0.05 // of the time waited so far: that much more at most, where asking all the time takes half of a core

/** Calls `probe` every few milliseconds, and less often the longer it takes, until it answers something else than `undefined` or `false`. */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  deadline = PATIENCE_MS,
): Promise<T> {
  const begun = performance.now()
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    const waited = performance.now() - begun
    if (waited > deadline) throw new Error(`not within ${deadline} ms: ${what}`)
    await new Promise((done) => setTimeout(done, Math.min(Math.max(SOONEST_MS, waited * SHARE), LATEST_MS)))
  }
}

/** The promise's value, or an error that names what was waited for. The timer goes when the promise settles. */
export async function within<T>(
  promise: Promise<T>,
  what: string | (() => string),
  deadline = PATIENCE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not within ${deadline} ms: ${typeof what === 'string' ? what : what()}`))
    }, deadline)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
