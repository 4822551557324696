/** Where in the configuration a value stands, and how that is written. */

export type Path = readonly (string | number)[]

/** `virtualServices.shop.backends[1].port`; keys with other characters as `["a.b"]`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[A-Za-z0-9_-]+$/.test(step)) text += `[${JSON.stringify(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}
