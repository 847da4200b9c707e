import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { WorkJournal } from '../../src/shared-memory/work-journal.ts'

describe('the work journal', () => {
  it('returns the objects whose processing has begun and not ended', () => {
    const buffer = WorkJournal.allocate()
    const journal = new WorkJournal(buffer)
    assert.deepEqual(journal.read(), [])
    journal.begin('Route a/shop')
    assert.deepEqual(new WorkJournal(buffer).read(), ['Route a/shop'])
    journal.begin('Route a/other', 'Backend ä/ö')
    assert.deepEqual(journal.read(), ['Route a/other', 'Backend ä/ö'])
    journal.begin()
    assert.deepEqual(journal.read(), [])
    journal.begin('Route a/shop')
    journal.end()
    assert.deepEqual(journal.read(), [])
  })
  it('holds whole names only', () => {
    const journal = new WorkJournal(WorkJournal.allocate())
    const names = Array.from({ length: 30 }, (_, i) => `Route namespace/${i}-${'ü'.repeat(100)}`)
    journal.begin(...names)
    const read = journal.read()
    assert.ok(read.length > 10 && read.length < 30)
    assert.deepEqual(read, names.slice(0, read.length))
    journal.begin('x'.repeat(5_000))
    assert.deepEqual(journal.read(), [])
  })
  it('outlives the thread that wrote it', async () => {
    const buffer = WorkJournal.allocate()
    const module = new URL('../../src/shared-memory/work-journal.ts', import.meta.url).href
    const code = `import { workerData, parentPort } from 'node:worker_threads'
      const { WorkJournal } = await import('${module}')
      new WorkJournal(workerData).begin('Route a/slow')
      parentPort.postMessage('begun')
      for (;;);`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: buffer })
    await new Promise((resolve) => worker.once('message', resolve))
    await worker.terminate()
    assert.deepEqual(new WorkJournal(buffer).read(), ['Route a/slow'])
  })
})
