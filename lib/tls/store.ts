/** Keeps the certificates of one service as their files are: a change is taken up when it is whole, else the old stays. */
import { basename } from 'node:path'
import { type CertificateFiles, type Credentials, loadCredentials, pathsOf } from './credentials.ts'
import { Followed } from './followed.ts'

export interface StoredCertificate {
  /** How it is called in sentences: the file's name. */
  readonly name: string
  /** Its path. */
  readonly file: string
  readonly credentials: Credentials
  /** Why the files, as they are now, are not in use; null: they are. */
  readonly problem: string | null
}

/** What came of a look at files. */
export interface Finding {
  readonly level: 'info' | 'warn'
  readonly message: string
}

interface Row {
  readonly name: string
  readonly file: string
  readonly files: Followed<Credentials>
}

export class CertificateStore {
  readonly #rows: readonly Row[]

  private constructor(rows: readonly Row[]) {
    this.#rows = rows
  }

  /** @throws BalancerError TLS_CERTIFICATE for the first that can't be used */
  static async load(certificates: readonly CertificateFiles[]): Promise<CertificateStore> {
    const rows: Row[] = []
    for (const files of certificates) {
      const file = files.pfx ?? files.cert ?? ''
      rows.push({ name: basename(file), file, files: await Followed.of(pathsOf(files), () => loadCredentials(files)) })
    }
    return new CertificateStore(rows)
  }

  get certificates(): readonly StoredCertificate[] {
    return this.#rows.map(({ name, file, files: { value, problem } }) => ({ name, file, credentials: value, problem }))
  }

  /** All files that it reads. */
  get paths(): string[] {
    return this.#rows.flatMap(({ files }) => files.paths)
  }

  /**
   * Looks at the files. Those that changed are read at the second look that finds them alike, so that nobody reads what is
   * half written. `changed`: other certificates are to be served. `moving`: a look at once may find more.
   * @param hasty it comes soon after the one before, see `Followed.look`
   */
  async look(hasty = false): Promise<{ changed: boolean; moving: boolean; findings: readonly Finding[] }> {
    const findings: Finding[] = []
    let changed = false
    let moving = false
    for (const { name, files } of this.#rows) {
      const { value: before, problem } = files
      const result = await files.look(hasty)
      moving ||= result === 'moving'
      if (result === 'failed')
        findings.push({ level: 'warn', message: `certificate ${name}: the one before is kept: ${files.problem}` })
      if (result !== 'read') continue
      const other = files.value.cert !== before.cert || files.value.key !== before.key
      if (other || problem !== null) findings.push(...taken(name, files.value))
      changed ||= other
    }
    return { changed, moving, findings }
  }
}

function taken(name: string, { notAfter, warnings }: Credentials): Finding[] {
  const until = new Date(notAfter).toISOString()
  return [
    { level: 'info', message: `certificate ${name} is taken up from its files, valid until ${until}` },
    ...warnings.map((message) => ({ level: 'warn' as const, message })),
  ]
}
