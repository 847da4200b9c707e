import { allocateCache } from '../../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../../src/cache/memory/worker-response-memory.ts'
import { responseMemorySuite } from '../../suite/response-memory.ts'

responseMemorySuite('in shared memory', () => {
  const buffers = allocateCache(12 * 1_024 * 1_024, 2, [1, 2])!
  const workers = [0, 1].map((worker) => new WorkerResponseMemory(buffers, 2, worker, setImmediate))
  return { workers, stop: () => {} }
})
