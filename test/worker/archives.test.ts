import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { WorkerArchives } from '../../src/worker/archives.ts'

describe('the archives of a worker', () => {
  it('ask for the files as soon as a policy needs them, so that the first request finds what is there', () => {
    let asked = 0
    const archives = new WorkerArchives({
      clock: systemTimers,
      random: Math.random,
      randomBytes: (size) => new Uint8Array(size),
      contents: { get: () => undefined },
      maxPutBytes: 1e9,
      key: () => new Uint8Array(32),
      askForFiles: () => asked++,
      count: () => {},
      problem: () => {},
    })
    assert.equal(archives.of('Memory'), undefined)
    assert.equal(asked, 0)
    const files = archives.of('File')
    assert.equal(archives.of('File'), files)
    assert.equal(asked, 1)
  })
})
