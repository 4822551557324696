/** `evenkeel check`: every problem of a configuration, with its place, and of the certificates that it names. */
import { loadConfig, problemsToJson, renderProblems } from '../config/index.ts'
import { migrationNote, movesQueued } from '../core/index.ts'
import { type CertificateReport, reportCertificates } from './certificates.ts'

const NOTHING: CertificateReport = { problems: [], warnings: [] }

/** 0: valid. 2: not. */
export async function check(file: string, json: boolean): Promise<number> {
  const result = await loadConfig(file)
  const problems = result.ok ? result.warnings : result.problems
  const certificates = result.ok ? await reportCertificates(result.config) : NOTHING
  const note = result.ok && result.config.appliance.threads !== 1 ? migrationNote(movesQueued()) : null
  const notes = note === null ? [] : [note]
  const ok = result.ok && certificates.problems.length === 0
  if (json)
    process.stdout.write(
      `${JSON.stringify({ ok, files: result.files, problems: problemsToJson(problems), certificates, notes })}\n`,
    )
  else {
    if (problems.length > 0)
      process.stderr.write(
        renderProblems(problems, { colour: process.stderr.isTTY, noun: result.ok ? 'warning' : 'problem' }),
      )
    for (const message of certificates.problems) process.stderr.write(`problem: ${message}\n`)
    for (const message of certificates.warnings) process.stderr.write(`warning: ${message}\n`)
    if (result.ok && ok) {
      process.stdout.write(`${file} is valid: ${Object.keys(result.config.virtualServices).length} virtual services\n`)
      for (const note of notes) process.stdout.write(`note: ${note}\n`)
    }
  }
  return ok ? 0 : 2
}
