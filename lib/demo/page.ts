/** What a demo backend says about a request, as HTML, JSON or text. */

export interface Page {
  readonly backend: string
  readonly requests: number
  readonly method: string
  readonly path: string
  /** Where the connection came from: the balancer. */
  readonly peer: string
  /** Name, value, name, value, … as received. */
  readonly rawHeaders: readonly string[]
}

/** Fields that tell what an intermediary did. */
const SHOWN = /^(?:host|forwarded|via|x-forwarded-[a-z-]+|x-real-ip|x-request-id)$/

export function renderPage(page: Page, accept: string): { type: string; text: string } {
  const fields = shownFields(page.rawHeaders)
  const rows: [string, string][] = [['method', page.method], ['path', page.path], ['peer', page.peer], ...fields]
  switch (preferred(accept)) {
    case 'html':
      return { type: 'text/html; charset=utf-8', text: html(page, rows) }
    case 'json': {
      const { rawHeaders: _raw, ...facts } = page
      return {
        type: 'application/json',
        text: `${JSON.stringify({ ...facts, headers: Object.fromEntries(fields) }, null, 2)}\n`,
      }
    }
    default: {
      const lines = rows.map(([name, value]) => `${name}: ${value}\n`).join('')
      return { type: 'text/plain; charset=utf-8', text: `${page.backend}, request ${page.requests}\n${lines}` }
    }
  }
}

/** The first of the types that we have which the client names; weights are not worth the trouble here. */
function preferred(accept: string): 'html' | 'json' | 'text' {
  for (const range of accept.toLowerCase().split(',')) {
    const type = (range.split(';')[0] ?? '').trim()
    if (type === 'text/html') return 'html'
    if (type === 'application/json') return 'json'
    if (type === 'text/plain') return 'text'
  }
  return 'text'
}

/** Repeated fields are joined as RFC 9110 §5.3 allows. Names come from a closed list, so they make a safe object. */
function shownFields(raw: readonly string[]): [string, string][] {
  const seen = new Map<string, string>()
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase()
    if (!SHOWN.test(name)) continue
    const before = seen.get(name)
    seen.set(name, before === undefined ? (raw[i + 1] ?? '') : `${before}, ${raw[i + 1]}`)
  }
  return [...seen]
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => ESCAPES[c] ?? c)

// The empty icon keeps browsers from asking for /favicon.ico, which would count as a request.
const html = (page: Page, rows: readonly [string, string][]): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>${escapeHtml(page.backend)}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem }
th { text-align: left; padding-right: 2rem; font-weight: normal; opacity: .7 }
</style>
<h1>${escapeHtml(page.backend)}</h1>
<p>Request ${page.requests} answered by this backend. Reload to see where the next one goes.</p>
<table>
${rows.map(([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`).join('\n')}
</table>
`
