/** Whether a person is looking: a page is to be shown, and the browser follows where it is sent. */
import type { Exchange } from '../exchange.ts'

/**
 * A navigation of a browser. Scripts (fetch, XMLHttpRequest), pictures and WebSockets cannot show a page for signing
 * in: they get 401. Browsers say which it is (Fetch Metadata); of other clients, those that accept HTML are meant.
 */
export function isNavigation({ method, request }: Exchange): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  const mode = request.get('sec-fetch-mode')
  if (mode !== undefined) return mode === 'navigate'
  if (request.get('x-requested-with') !== undefined) return false
  return (request.joined('accept') ?? '').toLowerCase().includes('text/html')
}
