/** What becomes of connections that wait in the queue of a listening socket when that is closed, and what the kernel says of it. */
import { readFileSync } from 'node:fs'

const NAME = 'net.ipv4.tcp_migrate_req'
const FILE = '/proc/sys/net/ipv4/tcp_migrate_req'

/** Does the kernel move them to another socket of the same address? null: it can't (before Linux 5.14). */
export function movesQueued(file = FILE): boolean | null {
  try {
    return readFileSync(file, 'latin1').trim() !== '0'
  } catch {
    return null
  }
}

const told = (moves: boolean | null): string =>
  moves === null ? `this kernel has no ${NAME}` : `${NAME} is ${moves ? 1 : 0}`

/** Of an upgrade, where the sockets themselves go over. */
export const migrationInUpgrade = (moves: boolean | null): string =>
  `${told(moves)}, which does not matter here: the sockets are the same`

/** Of the process as it runs, where it has several data threads; null: nothing is to be said. */
export function migrationNote(moves: boolean | null): string | null {
  if (moves === true) return null
  const remedy = moves === null ? '' : ` (sysctl -w ${NAME}=1 has the kernel move them)`
  return `${told(moves)}: when a data thread dies, connections that wait in its queue are reset${remedy}; upgrades don't need it`
}
