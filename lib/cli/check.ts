/** `evenkeel check`: every problem of a configuration, with its place. */
import { loadConfig, problemsToJson, renderProblems } from '../config/index.ts'

/** 0: valid. 2: not. */
export async function check(file: string, json: boolean): Promise<number> {
  const result = await loadConfig(file)
  const problems = result.ok ? result.warnings : result.problems
  if (json)
    process.stdout.write(
      `${JSON.stringify({ ok: result.ok, files: result.files, problems: problemsToJson(problems) })}\n`,
    )
  else {
    if (problems.length > 0)
      process.stderr.write(
        renderProblems(problems, { colour: process.stderr.isTTY, noun: result.ok ? 'warning' : 'problem' }),
      )
    if (result.ok)
      process.stdout.write(`${file} is valid: ${Object.keys(result.config.virtualServices).length} virtual services\n`)
  }
  return result.ok ? 0 : 2
}
