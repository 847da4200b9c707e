/**
 * A short soak: Routes whose patterns are replaced again and again under load leave nothing behind. `bench/soak.ts` is
 * the long one.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { rewriteUntil, type Sample, sampleOf, soakManifest } from '../../bench/lib/soak.ts'
import { type Gateway, type GatewayOptions, route, startGateway } from '../feature/harness.ts'

const MiB = 1024 * 1024
/** The load ends when every worker has served so many generations of tables, in this time; on slow machines in more. */
const GENERATIONS = 20
const SECONDS = 8
const MOST_SECONDS = 45
const CLIENTS = 4
/** `limits.memory`. Before there was one, the process had 500 to 600 MiB after twelve seconds and went on growing. */
const LIMIT = 512 * MiB
/**
 * What a heap may have in use beyond that of a gateway whose configuration was never replaced: garbage too little to be
 * collected, and code compiled under load. A megabyte kept of each generation is more.
 */
const REMAINDER = 14 * MiB
/**
 * A thread collects when it has been idle for five seconds (`watchMemory`). To ask for its heap allocates: asking more
 * often would keep it from that.
 */
const COLLECTED_MS = 6_500
const COLLECTIONS = 8

const skip = process.platform === 'linux' ? false : 'reads /proc'

describe('configuration that is replaced again and again', () => {
  it('does not fill the memory, and fails no request', { skip }, async (t) => {
    const plan = { routes: 300, every: 200 }
    const answer = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body: 'soak' } }
    const manifests = { 'load.yaml': route('load', ['load.example'], [answer]), 'soak.yaml': soakManifest(plan, -1) }
    const options: GatewayOptions = { workers: 2, settings: { limits: { memory: `${LIMIT / MiB}Mi` } } }
    const [gateway, untouched] = await Promise.all([
      startGateway(t, manifests, options),
      startGateway(t, manifests, options),
    ])
    const target = targetOf(gateway)

    const last = (await sampleOf(target, 0)).generation + GENERATIONS
    let over = false
    let requests = 0
    const one = async (): Promise<void> => {
      const client = await gateway.connect()
      try {
        while (!over) {
          const { status } = await client.request({ host: 'load.example' })
          assert.equal(status, 200)
          requests++
        }
      } finally {
        over = true
        client[Symbol.dispose]()
      }
    }
    const sampled = ({ seconds, generation }: Sample): void => {
      over = seconds >= (generation >= last ? SECONDS : MOST_SECONDS)
    }
    const loading = Promise.all(Array.from({ length: CLIENTS }, one))
    const { versions, samples } = await rewriteUntil(loading, target, { ...plan, sampled })
    await loading
    const most = Math.max(...samples.map(({ resident }) => resident))
    t.diagnostic(`${versions} versions, ${requests} requests, at most ${inMiB(most)} MiB`)
    assert.ok(most < LIMIT, `${inMiB(most)} MiB`)

    // Given back by idle threads.
    const reference = await sampleOf(targetOf(untouched), 0)
    for (let i = 1; ; i++) {
      await delay(COLLECTED_MS)
      const { heaps } = await sampleOf(target, 0)
      const kept = Object.entries(heaps).filter(([thread, used]) => !(used < reference.heaps[thread]! + REMAINDER))
      t.diagnostic(`in use: ${shown(heaps)}; of a gateway that was left alone: ${shown(reference.heaps)}`)
      if (kept.length === 0 && Object.keys(heaps).length === 3) break
      assert.ok(i < COLLECTIONS, `${shown(Object.fromEntries(kept))} in use`)
    }
  })
})

function targetOf({ process, folder, signalsPort }: Gateway) {
  return { pid: process.pid!, folder, signalsPort }
}

function shown(heaps: Sample['heaps']): string {
  return Object.entries(heaps)
    .map(([thread, used]) => `${thread} ${inMiB(used)} MiB`)
    .join(', ')
}

function inMiB(bytes: number): number {
  return Math.round(bytes / MiB)
}
