/** `evenkeel rollback`: brings an earlier configuration back, or lists those that are kept. */
import type { PastConfigView, ReloadAnswer } from '../admin/index.ts'
import { type AdminFlags, ask, findAdmin, tell } from './client.ts'
import { painter } from './paint.ts'
import { asked, report } from './reload.ts'
import { renderTable } from './table.ts'

export interface RollbackFlags extends AdminFlags {
  readonly json?: boolean
  readonly list?: boolean
  readonly ifHash?: string
}

const COLUMNS = [
  { title: 'N', align: 'right' as const },
  { title: 'HASH' },
  { title: 'IN FORCE SINCE' },
  { title: 'BY', shrinksTo: 8 },
]

/** Answers the exit code, as `reload` does. */
export async function rollback(back: number, flags: RollbackFlags, file: string): Promise<number> {
  const place = await findAdmin(flags, file)
  if (flags.list !== true) {
    const wish = { back, ...(flags.ifHash === undefined ? {} : { ifHash: flags.ifHash }) }
    return report(await asked(() => tell<ReloadAnswer>(place, '/api/v1/rollback', wish)), flags)
  }
  const views = await ask<PastConfigView[]>(place, '/api/v1/config/history')
  if (flags.json === true) process.stdout.write(`${JSON.stringify(views)}\n`)
  else {
    const rows = views.map((view) =>
      [view.back === 0 ? 'now' : String(view.back), view.hash, view.at, view.by].map((text) => ({ text })),
    )
    const { columns, isTTY } = process.stdout
    const lines = renderTable(COLUMNS, rows, isTTY ? columns : Number.POSITIVE_INFINITY, painter(isTTY))
    process.stdout.write(`${lines.join('\n')}\n`)
  }
  return 0
}
