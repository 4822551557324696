/** Keeps the certificates of one service as their files are: a change is taken up when it is whole, else the old stays. */
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { codeOf, messageOf } from '../core/index.ts'
import { type CertificateFiles, type Credentials, loadCredentials, pathsOf } from './credentials.ts'

export interface StoredCertificate {
  /** How it is called in sentences: the file's name. */
  readonly name: string
  readonly credentials: Credentials
  /** Why the files, as they are now, are not in use; null: they are. */
  readonly problem: string | null
}

/** What came of a look at the files of one certificate. */
export interface Finding {
  readonly level: 'info' | 'warn'
  readonly message: string
}

interface Row {
  readonly files: CertificateFiles
  readonly name: string
  readonly paths: readonly string[]
  credentials: Credentials
  problem: string | null
  /** What the files looked like when they were last read. */
  read: string
  /** What they looked like at the last look: they are read once they rest. */
  seen: string
}

export class CertificateStore {
  readonly #rows: Row[]

  private constructor(rows: Row[]) {
    this.#rows = rows
  }

  /** @throws BalancerError TLS_CERTIFICATE for the first that can't be used */
  static async load(certificates: readonly CertificateFiles[]): Promise<CertificateStore> {
    const rows: Row[] = []
    for (const files of certificates) {
      const paths = pathsOf(files)
      const read = await looks(paths) // before they are read: a change meanwhile is seen later
      const credentials = await loadCredentials(files)
      const name = basename(files.pfx ?? files.cert ?? '')
      rows.push({ files, name, paths, credentials, problem: null, read, seen: read })
    }
    return new CertificateStore(rows)
  }

  get certificates(): readonly StoredCertificate[] {
    return this.#rows
  }

  /**
   * Looks at the files. Those that changed are read at the second look that finds them alike, so that nobody reads what is
   * half written. `changed`: other certificates are to be served.
   */
  async look(): Promise<{ changed: boolean; findings: readonly Finding[] }> {
    const findings: Finding[] = []
    let changed = false
    for (const row of this.#rows) {
      const seen = await looks(row.paths)
      const rests = seen === row.seen
      row.seen = seen
      if (!rests || seen === row.read) continue
      row.read = seen
      try {
        const credentials = await loadCredentials(row.files)
        const other = credentials.cert !== row.credentials.cert || credentials.key !== row.credentials.key
        if (other || row.problem !== null) findings.push(...taken(row, credentials))
        changed ||= other
        row.credentials = credentials
        row.problem = null
      } catch (error) {
        row.problem = messageOf(error)
        findings.push({ level: 'warn', message: `certificate ${row.name}: the one before is kept: ${row.problem}` })
      }
    }
    return { changed, findings }
  }
}

function taken({ name }: Row, { notAfter, warnings }: Credentials): Finding[] {
  const until = new Date(notAfter).toISOString()
  return [
    { level: 'info', message: `certificate ${name} is taken up from its files, valid until ${until}` },
    ...warnings.map((message) => ({ level: 'warn' as const, message })),
  ]
}

/** Differs whenever a file was written, replaced or removed. */
async function looks(paths: readonly string[]): Promise<string> {
  const each = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
      return [dev, ino, size, mtimeNs, ctimeNs].join()
    } catch (error) {
      return codeOf(error)
    }
  })
  return (await Promise.all(each)).join(' ')
}
