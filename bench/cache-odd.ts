/**
 * `node bench/cache-odd.ts [--gibibytes 5] [--variants 10000]`: what the cache makes of one object that is larger than
 * any memory, with its length told and not, and of a page with thousands of variants; every byte is checked. Prints how
 * long each took, the most memory that the gateway had, and the longest delay of an event loop of its workers, beside
 * that of this process, which shows how busy the machine is; exit code 1 when a byte was wrong, another page was lost,
 * or the memory exceeded its limit.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { HOST, startHeadgate } from './lib/servers.ts'
import { sampleOf } from './lib/soak.ts'

const { values } = parseArgs({
  options: { gibibytes: { type: 'string', default: '5' }, variants: { type: 'string', default: '10000' } },
})
const GIB = 2 ** 30
const PIECE = 1 << 18
const AT_ONCE = 32
const size = Math.round(Number(values.gibibytes) * GIB)
const variants = Number(values.variants)
const FRESH = 'max-age=3600'

let fetches = 0
const origin = createServer(serve)
await new Promise<void>((resolve) => void origin.listen(0, '127.0.0.1', resolve))
const { port } = origin.address() as AddressInfo
const scratch = mkdtempSync(join(tmpdir(), 'headgate-cache-odd-'))
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
const LIMIT = 512 * 2 ** 20
const gateway = await startHeadgate(
  scratch,
  undefined,
  { 'all.yaml': manifests() },
  {
    workers: 2,
    settings: (port) => ({ listeners: [{ name: 'http', address: '127.0.0.1', port }], limits: { memory: '512Mi' } }),
  },
)
let failed = false
try {
  await page('/beside', 'a page beside')
  for (const path of ['/large', '/large-chunked']) await measured(`${values.gibibytes} GiB, ${path}`, () => large(path))
  await kept()
  await measured(`${variants} variants, fetched`, () => all())
  await measured(`${variants} variants, again`, () => all())
  await kept()
} finally {
  await gateway.stop()
  agent.destroy()
  origin.close()
  origin.closeAllConnections()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

function serve(incoming: IncomingMessage, response: ServerResponse): void {
  fetches++
  response.setHeader('cache-control', FRESH)
  if (incoming.url === '/beside') response.end('a page beside')
  else if (incoming.url === '/variants') response.setHeader('vary', 'x-a').end(`for ${incoming.headers['x-a']}`)
  else {
    if (incoming.url === '/large') response.setHeader('content-length', size)
    let sent = 0
    const more = (): void => {
      while (sent < size) {
        const bytes = piece(sent).subarray(0, size - sent)
        sent += bytes.length
        if (!response.write(bytes)) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  }
}

/** Each says where it begins. */
function piece(at: number): Buffer {
  const bytes = Buffer.alloc(PIECE, 'x')
  bytes.writeDoubleLE(at)
  return bytes
}

async function large(path: string): Promise<string> {
  const response = await get(path)
  let read = 0
  let wrong = 0
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of response) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    while (rest.length >= PIECE || (read + rest.length === size && rest.length > 0)) {
      const part = rest.subarray(0, PIECE)
      if (!piece(read).subarray(0, part.length).equals(part)) wrong++
      read += part.length
      rest = rest.subarray(part.length)
    }
  }
  failed ||= wrong > 0 || read !== size
  return `${read} of ${size} bytes, ${wrong} pieces wrong`
}

async function all(): Promise<string> {
  const before = fetches
  let wrong = 0
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < variants) {
      const name = `v${next++}`
      if ((await text(await get('/variants', { 'x-a': name }))) !== `for ${name}`) wrong++
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  failed ||= wrong > 0
  return `${fetches - before} fetches, ${wrong} wrong`
}

/** What is stored beside is not lost to the one object or page. */
async function kept(): Promise<void> {
  const before = fetches
  await page('/beside', 'a page beside')
  console.log(`the page beside: ${fetches === before ? 'still stored' : 'LOST'}`)
  failed ||= fetches !== before
}

async function page(path: string, wanted: string): Promise<void> {
  const got = await text(await get(path))
  if (got !== wanted) throw new Error(`${path}: ${got.slice(0, 200)}`)
}

async function measured(what: string, work: () => Promise<string>): Promise<void> {
  const began = performance.now()
  const own = monitorEventLoopDelay({ resolution: 10 })
  own.enable()
  let most = 0
  let slowest = 0
  const sample = async (): Promise<void> => {
    most = Math.max(most, (await sampleOf(gateway, 0)).resident)
    slowest = Math.max(slowest, await longestDelay())
  }
  const before = (await sampleOf(gateway, 0)).resident
  const sampling = setInterval(sample, 500)
  const told = await work()
  clearInterval(sampling)
  await sample()
  own.disable()
  const seconds = ((performance.now() - began) / 1_000).toFixed(1)
  const inMiB = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
  console.log(
    `${what}: ${told}; ${seconds} s, at most ${inMiB(most)} MiB resident (${inMiB(before)} before), a worker late by ` +
      `${slowest.toFixed(0)} ms at most, this process by ${((own.max - 10e6) / 1e6).toFixed(0)} ms`,
  )
  failed ||= most > LIMIT
}

/** Of the workers, within the last 15 to 30 seconds; milliseconds. */
async function longestDelay(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${gateway.signalsPort}/metrics`)).text()
  const delays = Array.from(text.matchAll(/^headgate_event_loop_delay_seconds\{.+\} (\S+)/gm), ([, one]) => Number(one))
  return Math.max(...delays) * 1_000
}

function get(path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: gateway.port, path, agent, headers: { ...headers, host: HOST } }
    request(options, resolve).on('error', reject).end()
  })
}

async function text(response: IncomingMessage): Promise<string> {
  let found = ''
  for await (const chunk of response) found += String(chunk)
  return found
}

function manifests(): string {
  const object = (kind: string, name: string, spec: object): string =>
    JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind, metadata: { name, namespace: 'default' }, spec })
  const rule = { name: 'all', backendRefs: [{ name: 'origin' }], policies: { cache: {}, timeouts: { request: '10m' } } }
  const endpoints = [{ address: '127.0.0.1', port }]
  return [
    object('Backend', 'origin', { endpoints }),
    object('Route', 'odd', { hostnames: [HOST], rules: [rule] }),
  ].join('\n---\n')
}
