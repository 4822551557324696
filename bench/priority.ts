/** Has a process come behind the others of its core: between sessions the kernel looks at the priority of their groups (sched(7), autogroups). */
import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'

/** @param nice 0 to 19, the last of all */
export function comeBehind(nice: number): void {
  setPriority(nice)
  try {
    writeFileSync('/proc/self/autogroup', String(nice))
  } catch {
    // A kernel without autogroups: the priority alone counts.
  }
}
