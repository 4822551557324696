/** Liars before some backends, as a process of its own. `liar-process.ts HOST JOURNAL NAME:PORT:TO,…`, for each backend HTTP, then TCP. */
import { Journal } from './journal.ts'
import { Liar } from './liar.ts'
import type { LieName } from './lies.ts'

const [host = '', path = '', ways = ''] = process.argv.slice(2)
const liar = new Liar(host, new Journal(path))
for (const [i, text] of ways.split(',').entries()) {
  const [, port, to] = text.split(':')
  if (i % 2 === 0) await liar.web(Number(port), Number(to))
  else await liar.streams(Number(port), Number(to))
}
process.on('message', ({ lie }: { lie: LieName | null }) => liar.lie(lie))
process.on('disconnect', () => process.exit(0))
process.send?.('listening')
