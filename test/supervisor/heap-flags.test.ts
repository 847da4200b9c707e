/** What V8 does with the objects of requests that are over, in a thread that is started with the flags of the process. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { setHeapFlags } from '../../src/supervisor/heap-flags.ts'

/**
 * Begins with requests that all wait, so that their objects survive, and goes on with some that are over at once. Says
 * by how many bytes the old objects have grown at most.
 */
const REQUESTS = `
  const { getHeapSpaceStatistics } = require('node:v8')
  const { parentPort } = require('node:worker_threads')
  class Head {
    #spans = []
    read(count) {
      for (let i = 0; i < count; i++) this.#spans[i] = i
    }
  }
  const waiting = []
  const wait = (count) => {
    for (let i = 0; i < count; i++) {
      waiting[i] = new Head()
      waiting[i].read(4)
    }
  }
  const last = []
  const pass = (count) => {
    for (let i = 0; i < count; i++) {
      last[i % 8] = new Head()
      last[i % 8].read(28)
    }
  }
  const old = () => getHeapSpaceStatistics().find((space) => space.space_name === 'old_space').space_used_size
  for (let i = 0; i < 60; i++) wait(20_000)
  waiting.length = 0
  gc()
  const before = old()
  let most = 0
  for (let i = 0; i < 200; i++) {
    pass(500)
    most = Math.max(most, old() - before)
  }
  parentPort.postMessage(most)
`

test('what belongs to a request that is over is collected with the young objects, whatever survived before', async () => {
  setHeapFlags()
  const worker = new Worker(REQUESTS, { eval: true, resourceLimits: { maxYoungGenerationSizeMb: 3 } })
  const [most] = (await once(worker, 'message')) as [number]
  await worker.terminate()
  // 100,000 requests leave some kilobytes; it was up to 20 MB, where V8 has made their heads old from the start.
  assert.ok(most < 1_000_000, `${most} bytes of them became old`)
})
