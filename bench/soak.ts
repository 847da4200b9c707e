/**
 * `node bench/soak.ts [--seconds 120] [--routes 300] [--every 300] [--workers 2] [--memory 512Mi] [--rest 20]`: every
 * Route is rewritten with other patterns again and again under load; prints the memory of the process, and of each
 * thread's heap, while it lasts and after. Exit code 1 when a request failed or the memory went over the limit.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseBytes } from '../src/lib/quantity.ts'
import { load } from './lib/load.ts'
import { NGINX, provide, WRK } from './lib/programs.ts'
import { HOST, manifestsFor, type Server, startHeadgate, startOrigin } from './lib/servers.ts'
import { rewriteUntil, type Sample, sampleOf, soakManifest } from './lib/soak.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    routes: { type: 'string', default: '300' },
    every: { type: 'string', default: '300' },
    workers: { type: 'string', default: '2' },
    memory: { type: 'string', default: '512Mi' },
    rest: { type: 'string', default: '20' },
  },
})
const missing = provide([NGINX, WRK])
if (missing !== undefined) {
  console.error(missing)
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'headgate-soak-'))
const servers: Server[] = []
let failed = false
try {
  await soak()
} finally {
  await Promise.all(servers.map((server) => server.stop()))
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

async function soak(): Promise<void> {
  const routes = Number(values.routes)
  const plan = { routes, every: Number(values.every), backend: 'origin' }
  const origin = await startOrigin(scratch, undefined)
  servers.push(origin)
  const settings = join(scratch, 'settings.json')
  writeFileSync(settings, JSON.stringify({ limits: { memory: values.memory } }))
  const manifests = { ...manifestsFor(origin), 'soak.yaml': soakManifest(plan, -1) }
  const options = { workers: Number(values.workers), flags: ['--settings', settings] }
  const gateway = await startHeadgate(scratch, undefined, manifests, options)
  servers.push(gateway)
  console.log('seconds  resident  anonymous  heaps in use, MiB')
  show(await sampleOf(gateway, 0))
  const request = { port: gateway.port, path: '/x', host: HOST, connections: 32, seconds: Number(values.seconds) }
  const loading = load(scratch, undefined, request)
  let shown = 0
  const sampled = (sample: Sample): void => {
    if (sample.seconds < shown) return
    shown += 10
    show(sample)
  }
  const { versions, samples } = await rewriteUntil(loading, gateway, { ...plan, sampled })
  const result = await loading
  await delay(Number(values.rest) * 1_000)
  const after = await sampleOf(gateway, Number(values.seconds) + Number(values.rest))
  show(after)
  const most = Math.max(...samples.map(({ resident }) => resident))
  const limit = parseBytes(values.memory)
  failed = result.failed > 0 || most > limit
  console.log(
    `${versions} versions, ${result.failed} of ${result.requests} requests failed; at most ${mebibytes(most)} of ` +
      `${mebibytes(limit)} MiB, ${mebibytes(after.resident)} MiB ${values.rest} s later`,
  )
}

function show({ seconds, resident, anonymous, heaps }: Sample): void {
  const parts = Object.entries(heaps).map(([thread, used]) => `${thread} ${mebibytes(used)}`)
  const cells = [seconds.toFixed(0), mebibytes(resident), mebibytes(anonymous)].map((cell) => cell.padStart(8))
  console.log(`${cells.join(' ')}   ${parts.join(', ')}`)
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}
