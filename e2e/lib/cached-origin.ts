/**
 * The origin behind the cache: pages that say their path, their variant and their version in every line, fresh for an
 * hour. `PUT /_version` changes the version, `GET /_fetches` says how often pages were fetched; `?slow` takes four
 * seconds.
 *
 * This file is mounted into the pod as it is, so it stands alone.
 */
import { createServer } from 'node:http'

const LINES = 100
const PARTS = 20
const SLOW_MS = 4_000

let version = 1
let fetches = 0

createServer((request, response) => {
  const [path = '', query = ''] = (request.url ?? '/').split('?', 2)
  if (path === '/readyz') {
    response.end('ready')
    return
  }
  if (path === '/_version') {
    request.resume()
    request.on('end', () => response.end(String(++version)))
    return
  }
  if (path === '/_fetches') {
    response.setHeader('cache-control', 'no-store').end(String(fetches))
    return
  }
  fetches++
  const variant = String(request.headers['x-variant'] ?? '-')
  const body = `${path} ${variant} v${version}\n`.repeat(LINES)
  response.setHeader('cache-control', 'max-age=3600').setHeader('vary', 'x-variant')
  response.setHeader('etag', `"${variant}-${version}"`).setHeader('surrogate-key', `pages ${path.slice(1)}`)
  if (query !== 'slow') {
    response.end(body)
    return
  }
  let sent = 0
  const size = body.length / PARTS
  const timer = setInterval(() => {
    const from = sent++ * size
    if (sent < PARTS) response.write(body.slice(from, from + size))
    else {
      clearInterval(timer)
      response.end(body.slice(from))
    }
  }, SLOW_MS / PARTS)
  response.on('close', () => clearInterval(timer))
}).listen(Number(process.argv[2]))
