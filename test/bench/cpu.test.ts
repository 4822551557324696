/** Reading CPU time from /proc. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { cpuBetween, descendants, parseSchedstat, parseStat, readCpu, readMemory } from '../../bench/cpu.ts'

const linux = process.platform === 'linux' ? {} : { skip: 'needs /proc' }

t.test('a schedstat tells nanoseconds, anything else is refused', async (t) => {
  t.equal(parseSchedstat('13541841 8634761 49\n'), 13_541_841)
  t.throws(() => parseSchedstat(''), /not a schedstat/)
  t.throws(() => parseSchedstat('x 1 2'), /not a schedstat/)
})

t.test('a stat line is read behind the last parenthesis of the command name', async (t) => {
  const line = '42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 3 4 20 0 1 0 5000 1000 10 0'
  t.strictSame(parseStat(line), { parent: 7, ticks: 40 })
  t.throws(() => parseStat('42 (sh) S 7'), /not a stat/)
})

t.test('a tree has children and grandchildren and nobody else', async (t) => {
  const parents = new Map([
    [2, 1],
    [3, 2],
    [4, 3],
    [5, 1],
    [6, 5],
  ])
  t.strictSame(descendants(2, parents), [2, 3, 4])
})

t.test('threads that began in between count whole', async (t) => {
  const before = { threads: new Map([['1/1', 100]]), processNs: 0 }
  const after = { threads: new Map(Object.entries({ '1/1': 150, '1/2': 30 })), processNs: 0 }
  t.strictSame(cpuBetween(before, after), { ns: 80, from: 'threads' })
})

t.test('when a thread ended in between, the process total is used', async (t) => {
  const before = { threads: new Map(Object.entries({ '1/1': 0, '1/2': 0 })), processNs: 0 }
  const after = { threads: new Map([['1/1', 5_000_000]]), processNs: 100_000_000 }
  t.strictSame(cpuBetween(before, after), { ns: 100_000_000, from: 'process' })
})

t.test('rounding of the process total is no reason to prefer it', async (t) => {
  const before = { threads: new Map([['1/1', 0]]), processNs: 0 }
  const after = { threads: new Map([['1/1', 55_000_000]]), processNs: 70_000_000 }
  t.strictSame(cpuBetween(before, after), { ns: 55_000_000, from: 'threads' })
})

t.test('CPU time of this very process is seen', linux, async (t) => {
  const before = readCpu(process.pid)
  const used = process.cpuUsage()
  do readFileSync('/proc/self/stat')
  while (process.cpuUsage(used).user + process.cpuUsage(used).system < 100_000)
  const { ns } = cpuBetween(before, readCpu(process.pid))
  t.ok(ns > 50_000_000, `${ns} ns of at least 100 ms`)
  t.ok(ns < 10_000_000_000, `${ns} ns`)
})

t.test('resident memory of this very process is seen', linux, async (t) => {
  t.ok(readMemory(process.pid) > 10 * 1024 * 1024)
})
