/** Replaces `${NAME}` and `${NAME:-default}` in a text by what the environment says. */
import { parseDocument } from 'yaml'

export type Environment = Readonly<Record<string, string | undefined>>

interface Substitution {
  readonly text: string
  readonly changed: boolean
  /** What could not be replaced: the text as it stands there, and why. */
  readonly problems: readonly { readonly found: string; readonly message: string }[]
}

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g
const NAME = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/

/** As in a shell: the default also stands in for a variable that is set but empty. `$${` is a literal `${`. */
export function substitute(text: string, env: Environment): Substitution {
  const problems: { found: string; message: string }[] = []
  const replaced = text.replace(REFERENCE, (found: string, inner: string | undefined, end: string | undefined) => {
    if (inner === undefined) return '${'
    const match = end === '}' ? NAME.exec(inner) : null
    const [, name = '', fallback] = match ?? []
    const value = Object.hasOwn(env, name) ? env[name] : undefined
    if (match === null) {
      const why = end === '}' ? 'is not a substitution' : 'has no closing }'
      const shown = found.length > 40 ? `${found.slice(0, 40)}…` : found
      problems.push({
        found,
        message: `${JSON.stringify(shown)} ${why}; write \${NAME} or \${NAME:-default}, or $\${ for a literal \${`,
      })
    } else if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
    else if (value !== undefined) return value
    else {
      const message = `the environment variable ${name} is not set; set it, or write \${${name}:-default}`
      problems.push({ found, message })
    }
    return ''
  })
  return { text: replaced, changed: replaced !== text, problems }
}

/** The number or boolean that the text is in YAML, else the text. */
export function reread(text: string): string | number | boolean {
  if (!/^[-+.0-9A-Za-z]{1,64}$/.test(text)) return text
  const value: unknown = parseDocument(text, { schema: 'core', logLevel: 'silent' }).toJS()
  return typeof value === 'number' || typeof value === 'boolean' ? value : text
}
