/** Loads a configuration from text and tells what came of it in one shape. */
import { type Config, type LoadResult, loadConfig, loadConfigText, type Problem } from '../../lib/config/index.ts'

export type Environment = Record<string, string | undefined>

/** The places and messages of all problems, `line:column path: message`; none where it loads. */
export const told = (result: LoadResult): string[] =>
  result.ok ? [] : result.problems.map((each) => `${each.line}:${each.column} ${each.path}: ${each.message}`)

export const problemsOf = async (text: string, env: Environment = {}): Promise<readonly Problem[]> => {
  const result = await loadConfigText(text, 'test.yaml', { env })
  return result.ok ? [] : result.problems
}

export const toldOf = async (text: string, env: Environment = {}): Promise<string[]> =>
  told(await loadConfigText(text, 'test.yaml', { env }))

/** The configuration; an error that lists the problems where there are some. */
export function configOf(result: LoadResult): Config {
  if (result.ok) return result.config
  throw new Error(`refused: ${told(result).join('; ')}`)
}

export const configFrom = async (text: string, env: Environment = {}): Promise<Config> =>
  configOf(await loadConfigText(text, 'test.yaml', { env }))

export const fileOf = (file: string): Promise<LoadResult> => loadConfig(file, { env: {} })

/** A service that is right, with what a test is about in place of or beside its lines. */
export const service = (name: string, lines = '', listen = '127.0.0.1:0', protocol = 'tcp'): string =>
  `  ${name}:\n    listen: ["${listen}"]\n    protocol: ${protocol}\n    backends: [127.0.0.1:1]\n${lines}`

export const file = (services: string, top = ''): string => `version: 1\n${top}virtualServices:\n${services}`
