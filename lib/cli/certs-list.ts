/** `evenkeel certs list`: every certificate in one line, from the running balancer or from the files of a configuration. */
import type { AcmeView, CertificateView, ServiceView } from '../admin/index.ts'
import { messageOf } from '../core/index.ts'
import { type AdminFlags, ask, findAdmin } from './client.ts'
import { CommandFailure } from './failure.ts'
import { type Paint, painter, type Style } from './paint.ts'
import { type Cell, type Column, renderTable } from './table.ts'

export interface ListFlags extends AdminFlags {
  readonly json?: boolean
  /** A configuration whose files are read. */
  readonly file?: string
}

/** A certificate, with who uses it. */
type Listed = Partial<CertificateView> & {
  readonly name: string
  readonly names: readonly string[]
  readonly problem: string | null
  readonly services: string[]
}

const DAY_MS = 86_400_000
const WARN_DAYS = 14 // as in the log
const NAMES_SHOWN = 3

/** 0; 1: a certificate of the configuration can't be used. */
export async function list(flags: ListFlags, file: string): Promise<number> {
  const rows = flags.file === undefined ? await served(flags, file) : await configured(flags.file)
  const { columns, isTTY } = process.stdout
  if (flags.json === true) process.stdout.write(`${JSON.stringify(rows)}\n`)
  else if (rows.length === 0) process.stdout.write('no service ends TLS\n')
  else {
    const lines = tableOf(rows, isTTY ? columns : Number.POSITIVE_INFINITY, painter(isTTY))
    process.stdout.write(`${lines.join('\n')}\n`)
  }
  return flags.file !== undefined && rows.some(({ problem }) => problem !== null) ? 1 : 0
}

/** As they are in use. */
async function served(flags: AdminFlags, file: string): Promise<Listed[]> {
  const services = await ask<ServiceView[]>(await findAdmin(flags, file), '/api/v1/services')
  const rows = new Map<string, Listed>()
  for (const { name: service, certificates } of services)
    for (const each of certificates) add(rows, `${each.name} ${each.fingerprint256}`, service, each)
  return [...rows.values()]
}

/** As they would be in use. */
async function configured(file: string): Promise<Listed[]> {
  const { loadConfig, renderProblems } = await import('../config/index.ts')
  const { loadCredentials } = await import('../tls/index.ts')
  const loaded = await loadConfig(file)
  if (!loaded.ok) {
    process.stderr.write(renderProblems(loaded.problems, { colour: process.stderr.isTTY }))
    throw new CommandFailure(2, `${file} is not valid`)
  }
  const rows = new Map<string, Listed>()
  for (const [service, { tls }] of Object.entries(loaded.config.virtualServices))
    for (const files of tls?.certificates ?? []) {
      const { acme, keyType } = files
      if (acme !== undefined) {
        add(rows, `acme ${keyType} ${acme.join()}`, service, {
          name: 'acme',
          names: acme,
          keyType: keyType ?? 'ec',
          problem: null,
        })
        continue
      }
      const name = files.pfx ?? files.cert ?? ''
      try {
        const { names, issuer, keyType, fingerprint256, notAfter } = await loadCredentials(files)
        const daysLeft = Math.floor((notAfter - Date.now()) / DAY_MS)
        const facts = { names, issuer, keyType, fingerprint256, notAfter: new Date(notAfter).toISOString(), daysLeft }
        add(rows, `${name} ${fingerprint256}`, service, { name, ...facts, problem: null })
      } catch (error) {
        add(rows, name, service, { name, names: [], problem: messageOf(error) })
      }
    }
  return [...rows.values()]
}

function add(rows: Map<string, Listed>, key: string, service: string, facts: Omit<Listed, 'services'>): void {
  const known = rows.get(key)
  if (known === undefined) rows.set(key, { ...facts, services: [service] })
  else if (!known.services.includes(service)) known.services.push(service)
}

const COLUMNS: readonly Column[] = [
  { title: 'NAMES', shrinksTo: 16 },
  { title: 'FILE', shrinksTo: 12, optional: true },
  { title: 'KEY' },
  { title: 'ISSUER', shrinksTo: 10, optional: true },
  { title: 'DAYS', align: 'right' },
  { title: 'UNTIL', optional: true },
  { title: 'USED BY', shrinksTo: 8 },
  { title: 'STATE', shrinksTo: 10 },
]

function tableOf(rows: readonly Listed[], width: number, paint: Paint): string[] {
  const cells = rows.map((row): Cell[] => {
    const { names, name, keyType = '', issuer = '', daysLeft, notAfter = '', services } = row
    const { text, style } = stateOf(row)
    const more = names.length > NAMES_SHOWN ? ` +${names.length - NAMES_SHOWN}` : ''
    return [
      { text: names.slice(0, NAMES_SHOWN).join(' ') + more },
      { text: name.split('/').at(-1) ?? '', style: 'dim' },
      { text: keyType },
      { text: commonName(issuer), style: 'dim' },
      { text: daysLeft === undefined ? '' : `${daysLeft}`, style },
      { text: notAfter.slice(0, 10) },
      { text: services.join(' ') },
      { text, style },
    ]
  })
  return renderTable(COLUMNS, cells, width, paint)
}

function stateOf({ problem, daysLeft, acme = null }: Listed): { text: string; style: Style } {
  if (problem !== null) return { text: problem, style: 'red' }
  if (acme !== null && acme.error !== '') return { text: `${again(acme)}: ${acme.error}`, style: 'red' }
  if (acme?.ordering === true) return { text: 'is ordered now', style: 'yellow' }
  if (acme?.temporary === true) return { text: 'temporary', style: 'yellow' }
  if (daysLeft === undefined) return { text: 'ordered when the balancer runs', style: 'dim' }
  if (daysLeft < 0) return { text: 'expired', style: 'red' }
  if (acme === null && daysLeft < WARN_DAYS) return { text: 'ends soon', style: 'yellow' }
  return { text: acme?.nextAt ? `ok, renewed ${acme.nextAt.slice(0, 10)}` : 'ok', style: 'green' }
}

/** What becomes of an order that failed. */
const again = ({ temporary, nextAt }: AcmeView): string =>
  `${temporary ? 'temporary' : 'not renewed'}, tried again ${nextAt === null ? 'now' : nextAt.slice(0, 16)}`

/** Who is meant, of a distinguished name such as `C=US, O=Example, CN=R10`. */
const commonName = (name: string): string => /(?:^|, )CN=([^,]+)/.exec(name)?.[1] ?? name
