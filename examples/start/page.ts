/**
 * Generates the page at the address that `npm start` prints first: the list of example requests. The page is a Route
 * like any other; this program writes it from examples/requests.ts:
 *
 *     node examples/start/page.ts
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { curlLine, EXAMPLE_REQUESTS, type ExampleRequest } from '../requests.ts'

export const PAGE_FILE = fileURLToPath(new URL('../shop/00-start-page.yaml', import.meta.url))
const PORT = 8080

const HEAD = `# The page at http://127.0.0.1:${PORT}/: example requests. Written by examples/start/page.ts from examples/requests.ts; change it there.
# A Route without hostnames is for hosts that no Route names; an address is such a host.
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: start-page, namespace: shop }
spec:
  rules:
  - name: page
    matches:
    - path: { type: Exact, value: / }
      headers: [{ name: host, type: RegularExpression, value: '(127\\.0\\.0\\.1|\\[::1\\]|localhost)(:[0-9]+)?' }]
    policies:
      responseHeaders: { set: [{ name: content-security-policy, value: "default-src 'none'; style-src 'unsafe-inline'" }] }
    respond:
      contentType: text/html; charset=utf-8
      body: |
`

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:3rem auto;padding:0 1rem}
li{margin:.7rem 0}
code{font:13px ui-monospace,monospace;display:block;overflow-x:auto;padding:.4rem .6rem;border-radius:4px;background:#8882}`

/** The manifest. */
export function startPage(): string {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Headgate is running</title>
<style>
${STYLE}
</style>
<h1>Headgate is running</h1>
<p>It serves the manifests in examples/shop, this page among them. Try a request in a shell; a request that needs only a URL is a link.
Edit a manifest and send the request again: the change applies immediately.</p>
<ul>
${EXAMPLE_REQUESTS.map(entry).join('\n')}
</ul>
`
  return HEAD + html.replaceAll(/^(?=.)/gm, ' '.repeat(8))
}

function entry(one: ExampleRequest): string {
  const plain = one.method === undefined && one.headers === undefined && one.bodyBytes === undefined
  const shows = escaped(one.shows)
  const title = plain ? `<a href="http://${one.host}:${PORT}${escaped(one.path)}">${shows}</a>` : shows
  return `<li>${title}<code>${escaped(curlLine(one, PORT))}</code>`
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

if (import.meta.main) writeFileSync(PAGE_FILE, startPage())
