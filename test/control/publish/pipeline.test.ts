import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ResourceSet } from '../../../src/compile/resource-set.ts'
import { type BuildStages, Pipeline } from '../../../src/control/publish/pipeline.ts'
import { createMetrics } from '../../../src/shared-memory/metrics.ts'
import { ProcessBlock, workerThread } from '../../../src/shared-memory/process-block.ts'
import { RowDirectory } from '../../../src/shared-memory/row-directory.ts'
import { backend, route, world } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

function room(backends = 8) {
  const time = new VirtualTime()
  const wall = { ahead: 0 }
  const rows = new RowDirectory(createMetrics({ workers: 1, backends }))
  const block = new ProcessBlock(ProcessBlock.allocate(1))
  block.setLive(workerThread(0), true)
  const log: string[] = []
  const state = { resources: world({}), ready: true, broken: false }
  const pipeline = new Pipeline({
    block,
    rows,
    time: time.keeper(0, () => 1_800_000_000_000 + time.now + wall.ahead),
    random: () => 0.5,
    slotOf: () => undefined,
    events: {
      replica: ({ type }) => log.push(`sent ${type}`),
      served: (generation) => log.push(`served ${generation}`),
      settled: () => log.push('settled'),
      cachesEnded: () => {},
      endpoints: () => {},
      cachedFound: () => {},
      explained: () => {},
      recovered: () => {},
      passwordAsked: () => {},
      archiveAsked: () => {},
      ask: () => Promise.resolve(null),
      asked: () => {},
      keySetAsked: () => {},
      problem: () => {},
    },
  })
  const stages: BuildStages = {
    mayBegin: () => state.ready,
    begin: () => {
      log.push('begin')
      return state.resources
    },
    working: () => {},
    watch: (steps) => steps,
    *prepareEndpoints() {
      log.push('endpoints')
      yield
      if (state.broken) throw new Error('broken')
    },
    *prepareStatuses(statuses) {
      log.push(`statuses ${statuses.size}`)
      yield
    },
    compiled: () => log.push('compiled'),
    published: (generation, first) => log.push(`published ${generation}${first ? ', the first' : ''}`),
    failed: (error) => log.push(`failed: ${(error as Error).message}`),
  }
  pipeline.start(stages)
  return { time, wall, rows, block, log, state, pipeline, use: (set: ResourceSet) => (state.resources = set) }
}

describe('the pipeline', () => {
  it('passes endpoints before tables, tables before statuses come into force, and each stage once', async () => {
    const { time, log, pipeline, use } = room()
    use(world({ routes: [route('a/a', { hostnames: ['a.example'] })] }))
    pipeline.request()
    pipeline.request()
    await time.pass(100)
    assert.deepEqual(log.splice(0), [
      'begin',
      'endpoints',
      'statuses 1',
      'compiled',
      'sent tables',
      'sent backends',
      'published 1, the first',
    ])
    use(world({ routes: [route('a/a', { hostnames: ['b.example'] })] }))
    pipeline.request()
    await time.pass(100)
    assert.deepEqual(log, ['begin', 'endpoints', 'statuses 1', 'compiled', 'sent tables', 'published 2'])
    assert.equal(pipeline.snapshot?.backends.size, 0)
  })

  it('gives rows of Backends that are gone to others after ten minutes, also where the wall clock was set', async () => {
    const serve = (name: string) => {
      const rules = { all: { backendRefs: [{ name, weight: 1, priority: 0 }] } }
      use(world({ routes: [route('a/a', { rules })], backends: [backend(`a/${name}`, {})] }))
      pipeline.request()
      return time.pass(100)
    }
    const { time, wall, rows, pipeline, use } = room(1)
    await serve('one')
    assert.equal(rows.find('a/one'), 1)
    await serve('two')
    wall.ahead += 365 * 86_400_000
    await serve('three')
    assert.equal(rows.find('a/three'), 0, 'its counts are still those of the first')
    wall.ahead -= 2 * 365 * 86_400_000
    await time.pass(601_000)
    await serve('four')
    assert.equal(rows.find('a/four'), 1)
  })

  it('waits until everything that was announced is known', async () => {
    const { time, log, state, pipeline } = room()
    state.ready = false
    pipeline.request(true)
    await time.pass(100)
    assert.deepEqual(log, [])
    state.ready = true
    pipeline.resume()
    await time.pass(0)
    assert.equal(log.at(-1), 'published 1, the first')
  })

  it('sends nothing of a build that fails, and builds again at the next change', async () => {
    const { time, log, state, pipeline } = room()
    state.broken = true
    pipeline.request(true)
    await time.pass(10)
    assert.deepEqual(log.splice(0), ['begin', 'endpoints', 'failed: broken'])
    state.broken = false
    pipeline.request(true)
    await time.pass(10)
    assert.equal(log.at(-1), 'published 1, the first')
    pipeline.stop()
    pipeline.request(true)
    await time.pass(100)
    assert.equal(log.filter((line) => line === 'begin').length, 1, 'none after a stop')
  })

  it('is settled when the newest tables serve everywhere, not when older ones do', async () => {
    const { time, block, log, pipeline, use } = room()
    for (const hostname of ['a.example', 'b.example']) {
      use(world({ routes: [route('a/a', { hostnames: [hostname] })] }))
      pipeline.request(true)
      await time.pass(10)
    }
    log.splice(0)
    block.setApplied(0, 1)
    pipeline.removeWorker(9)
    assert.deepEqual(log.splice(0), ['served 1'])
    block.setApplied(0, 2)
    pipeline.removeWorker(9)
    assert.deepEqual(log, ['served 2', 'settled'])
  })
})
