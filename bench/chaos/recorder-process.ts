/** Reads all journals while they grow, on its own, and tells the verdict when asked. `recorder-process.ts FOLDER`. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { JournalReader } from './journal.ts'
import { Ledger } from './ledger.ts'

const READ_MS = 500
const folder = process.argv[2] ?? ''
const readers = new Map<string, JournalReader>()
const ledger = new Ledger()

function read(): void {
  for (const name of readdirSync(folder)) {
    const reader = readers.get(name) ?? new JournalReader(join(folder, name))
    readers.set(name, reader)
    reader.read((parts) => ledger.take(parts))
  }
}

const timer = setInterval(read, READ_MS)
process.on('message', () => {
  clearInterval(timer)
  read()
  process.send?.(ledger.verdict(), () => process.exit(0))
})
process.on('disconnect', () => process.exit(1))
process.send?.('listening')
