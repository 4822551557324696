/** Says once, under `$defs`, what a JSON Schema says in several places: a pool has most options of a service. */

/** A schema, or what is left of it. */
export type Part = Readonly<Record<string, unknown>>

const WORTH = 400 // characters; below that a reference is longer to read than what it stands for

const isPart = (value: unknown): value is Part => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The same part with its children as `change` makes them; `name` is the key that a child stands under. */
function withChildren(part: Part, name: string, change: (child: Part, name: string) => Part): Part {
  const changed = Object.entries(part).map(([key, value]): [string, unknown] => {
    if (key === 'properties' && isPart(value))
      return [
        key,
        Object.fromEntries(Object.entries(value).map(([name, child]) => [name, change(child as Part, name)])),
      ]
    if (key === 'anyOf' && Array.isArray(value)) return [key, value.map((child: Part) => change(child, name))]
    if ((key === 'items' || key === 'additionalProperties') && isPart(value)) return [key, change(value, name)]
    return [key, value]
  })
  return Object.fromEntries(changed)
}

/** The root without repetitions, and the definitions that it refers to then. */
export function shareParts(root: Part): { readonly root: Part; readonly defs: Record<string, Part> } {
  const seen = new Map<string, number>()
  const count = (part: Part): Part => {
    const text = JSON.stringify(part)
    const times = (seen.get(text) ?? 0) + 1
    seen.set(text, times)
    return times > 1 ? part : withChildren(part, '', count) // what lies in a repeated part is no repetition by itself
  }
  count(root)
  const names = new Map<string, string>()
  const defs: Record<string, Part> = {}
  const replace = (part: Part, name: string): Part => {
    const text = JSON.stringify(part)
    if (text.length < WORTH || seen.get(text) === 1) return withChildren(part, name, replace)
    let known = names.get(text)
    if (known === undefined) {
      const taken = [...names.values()]
      known = name
      for (let n = 2; taken.includes(known); n++) known = `${name}-${n}`
      names.set(text, known)
      defs[known] = withChildren(part, name, replace)
    }
    return { $ref: `#/$defs/${known}` }
  }
  return { root: withChildren(root, 'root', replace), defs }
}
