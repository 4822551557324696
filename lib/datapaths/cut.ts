/** Ends many flows, all at once or spread over a time, so that their clients don't all come back in one moment. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Session } from './contract.ts'

const STEP_MS = 50 // twenty a second: what comes back with each is a twentieth of a second's worth

/** Resolves when all are cut. What ended by itself meanwhile is passed over. */
export async function cutAll(
  sessions: readonly Session[],
  backendName: string | null,
  spreadMs: number,
): Promise<void> {
  const steps = Math.max(1, Math.min(sessions.length, Math.ceil(spreadMs / STEP_MS)))
  for (let step = 0; step < steps; step++) {
    if (step > 0) await wait(spreadMs / steps)
    // Every nth: connections that came together, perhaps from one client, are not cut together.
    for (let i = step; i < sessions.length; i += steps) sessions[i]?.cut(backendName)
  }
}
