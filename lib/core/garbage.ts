/** Has the garbage of this thread collected, which an idle thread does not do by itself. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | null = null

export function collectGarbage(): void {
  collect ??= collector()
  collect()
}

/**
 * Only when it is needed, and the flag is taken back at once: it is the whole process's, and threads that start with another set of flags
 * than node was built with have node's own code compiled anew, which is a third of their start.
 */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void // contexts that are there already don't get it
  setFlagsFromString('--no-expose-gc')
  return collect
}
