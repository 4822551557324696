/** What is said of connections that wait in the queue of a listening socket. */
import { join } from 'node:path'
import t from 'tap'
import { migrationInUpgrade, migrationNote, movesQueued } from '../../lib/core/index.ts'

t.test('what the kernel is set to is read, and that it may not know the setting', (t) => {
  const dir = t.testdir({ off: '0\n', on: '1\n' })
  t.equal(movesQueued(join(dir, 'off')), false)
  t.equal(movesQueued(join(dir, 'on')), true)
  t.equal(movesQueued(join(dir, 'none')), null)
  t.end()
})

t.test('an upgrade needs none of it; when a data thread dies, it tells what is lost and what would help', (t) => {
  for (const [moves, what] of [
    [false, /^net\.ipv4\.tcp_migrate_req is 0, which does not matter here: the sockets are the same$/],
    [true, /^net\.ipv4\.tcp_migrate_req is 1, which/],
    [null, /^this kernel has no net\.ipv4\.tcp_migrate_req, which/],
  ] as const)
    t.match(migrationInUpgrade(moves), what)
  t.equal(migrationNote(true), null)
  t.match(
    migrationNote(false) ?? '',
    /is 0: when a data thread dies, .* are reset \(sysctl -w net\.ipv4\.tcp_migrate_req=1 .*\); upgrades don't need it$/,
  )
  t.notMatch(migrationNote(null) ?? '', /sysctl/)
  t.end()
})
