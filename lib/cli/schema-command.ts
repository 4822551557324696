/** `evenkeel schema`: the JSON Schema of the configuration, for editors. */
import { jsonSchema } from '../config/index.ts'

export function schema(): number {
  process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`)
  return 0
}
