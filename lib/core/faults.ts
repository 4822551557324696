/** Errors that nobody expected: the flow that met one ends, one place is told, and the thread goes on. */

/** `about`: whose flow it was. */
export type FaultListener = (error: unknown, about: string) => void

let listener: FaultListener | null = null

/** Who is told. Without anybody they are thrown on. */
export function onFault(told: FaultListener | null): void {
  listener = told
}

/** To be called where a flow is entered from outside. Who calls ends the flow; where that is not possible, `error` is to be thrown. */
export function fault(error: unknown, about: string): void {
  if (listener === null) throw error
  listener(error, about)
}

/** The code by which a wire that was broken for one tells its sink. */
export const FAULT = 'EFAULT'
