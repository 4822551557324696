/** Prefixes of paths, on the bounds of segments. */

/** `/shop` of `/shop`, `/shop/cart` and `/shop;id=1`, not of `/shopping`. A final slash of the prefix does not count. */
export function hasPrefix(path: string, prefix: string): boolean {
  const length = bareLength(prefix)
  if (!path.startsWith(length === prefix.length ? prefix : prefix.slice(0, length))) return false
  const next = path.charCodeAt(length)
  // Java backends cut parameters off before they look at a path: what follows `;` is no part of the segment's name.
  return path.length === length || next === 47 || next === 59
}

/** `path` with `to` in the place of its prefix `from`, or undefined when it has another. */
export function swapPrefix(path: string, from: string, to: string): string | undefined {
  if (!hasPrefix(path, from)) return undefined
  const rest = path.slice(bareLength(from))
  const start = to.slice(0, bareLength(to))
  const text = rest === '' || rest.startsWith('/') || start !== '' ? start + rest : `/${rest}`
  return text === '' ? '/' : text
}

const bareLength = (prefix: string): number => (prefix.endsWith('/') ? prefix.length - 1 : prefix.length)
