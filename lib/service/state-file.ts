/** The state file on disk: read once, and written whole, so that whatever happens one of the two versions is there. */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, type Logger, messageOf } from '../core/index.ts'

const MAX_BYTES = 64 * 1024 * 1024 // 16,384 backends are 6 MB
const OWNER_ONLY = 0o600

export class StateFile {
  readonly #path: string
  readonly #content: () => string
  readonly #log: Logger
  /** The write under way. */
  #writing: Promise<string | null> | null = null
  /** The write that begins behind it: for all who ask meanwhile. */
  #next: Promise<string | null> | null = null
  #failed = false

  /** @param content what to write, as of the moment when a write begins */
  constructor(path: string, content: () => string, log: Logger) {
    this.#path = path
    this.#content = content
    this.#log = log
  }

  /**
   * Resolves when all that held at the time of the call is on disk: with null, or with why it is not. Calls that come while
   * a write is under way share the next one.
   */
  save(): Promise<string | null> {
    if (this.#writing === null) return this.#begin()
    this.#next ??= this.#writing.then(() => {
      this.#next = null
      return this.#begin()
    })
    return this.#next
  }

  #begin(): Promise<string | null> {
    const writing = this.#write().then(
      () => this.#tell(null),
      (error: unknown) => this.#tell(`${this.#path} can't be written: ${codeOf(error) || messageOf(error)}`),
    )
    this.#writing = writing
    return writing.finally(() => {
      if (this.#writing === writing) this.#writing = null
    })
  }

  /** Says so when it can't be written any more, or can again; not with each write. */
  #tell(problem: string | null): string | null {
    const failed = problem !== null
    if (failed && !this.#failed)
      this.#log.warn(`state file: ${problem}; a restart forgets what operators do from now on`)
    if (!failed && this.#failed) this.#log.info(`state file: ${this.#path} is written again`)
    this.#failed = failed
    return problem
  }

  #write(): Promise<void> {
    return replaceFile(this.#path, this.#content(), OWNER_ONLY)
  }
}

/** Writes a file whole: whatever happens, it is there as it was or as it is to be. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const folder = dirname(path)
  const draft = `${path}.new`
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    await rm(draft, { force: true }) // of a run that was killed: never a link to somewhere else
    const { O_WRONLY, O_CREAT, O_EXCL } = constants
    await synced(await open(draft, O_WRONLY | O_CREAT | O_EXCL, mode), async (file) => {
      await file.chmod(mode) // whatever the umask is
      await file.writeFile(text)
    })
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw error
  }
  // Without this the name may still lead to the file before, after a loss of power.
  await synced(await open(folder, constants.O_RDONLY), async () => {})
}

async function synced(file: FileHandle, act: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await act(file)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Its text; null: there is none. What can't be read is told and passed over: the balancer starts without it. */
export async function readState(path: string, log: Logger): Promise<string | null> {
  try {
    const text = await readFile(path, 'utf8')
    if (text.length <= MAX_BYTES) return text
    log.warn(`state file: ${path} is passed over: it is too large`)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') log.warn(`state file: ${path} is passed over: ${codeOf(error) || messageOf(error)}`)
  }
  return null
}

/** Puts what can't be used aside, for whoever wants to know. */
export async function putAside(path: string, why: string, log: Logger): Promise<void> {
  const aside = `${path}.broken`
  const kept = await rename(path, aside).then(
    () => `; it is now ${aside}`,
    () => '',
  )
  log.warn(`state file: ${path} is passed over: ${why}${kept}`)
}
