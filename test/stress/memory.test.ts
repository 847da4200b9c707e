/**
 * A short soak: Routes whose patterns are replaced again and again under load leave nothing behind. `bench/soak.ts` is
 * the long one.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { rewriteUntil, sampleOf, soakManifest } from '../../bench/lib/soak.ts'
import { eventually, route, startGateway } from '../feature/harness.ts'

const MiB = 1024 * 1024
const SECONDS = 12
const CLIENTS = 4
/** Before, the process had 500 to 600 MiB after this time and went on growing. */
const MOST = 420 * MiB
/** In use after it: code, and the tables of one version. */
const HEAP_AFTER = 36 * MiB

const skip = process.platform === 'linux' ? false : 'reads /proc'

describe('configuration that is replaced again and again', () => {
  it('does not fill the memory, and fails no request', { skip }, async (t) => {
    const plan = { routes: 300, every: 200 }
    const answer = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body: 'soak' } }
    const manifests = { 'load.yaml': route('load', ['load.example'], [answer]), 'soak.yaml': soakManifest(plan, -1) }
    const gateway = await startGateway(t, manifests, { workers: 2, settings: { limits: { memory: '512Mi' } } })
    const target = { pid: gateway.process.pid!, folder: gateway.folder, signalsPort: gateway.signalsPort }

    const until = performance.now() + SECONDS * 1_000
    let requests = 0
    const one = async (): Promise<void> => {
      const client = await gateway.connect()
      while (performance.now() < until) {
        const { status } = await client.request({ host: 'load.example' })
        assert.equal(status, 200)
        requests++
      }
      client[Symbol.dispose]()
    }
    const loading = Promise.all(Array.from({ length: CLIENTS }, one))
    const { versions, samples } = await rewriteUntil(loading, target, plan)
    await loading
    const most = Math.max(...samples.map(({ resident }) => resident))
    t.diagnostic(`${versions} versions, ${requests} requests, at most ${Math.round(most / MiB)} MiB`)
    assert.ok(versions >= SECONDS, `only ${versions} versions were written`)
    assert.ok(most < MOST, `${Math.round(most / MiB)} MiB`)

    // Given back by idle threads.
    await delay(6_000)
    await eventually(async () => {
      const { heaps } = await sampleOf(target, 0)
      assert.deepEqual(Object.keys(heaps), ['control', 'worker-0', 'worker-1'])
      for (const [thread, used] of Object.entries(heaps))
        assert.ok(used < HEAP_AFTER, `${thread}: ${Math.round(used / MiB)} MiB in use`)
    }, 10_000)
  })
})
