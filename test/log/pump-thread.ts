/** A pump in a thread of its own, to be terminated at any moment. */
import { parentPort, workerData } from 'node:worker_threads'
import { createAccessLogWriter } from '../../src/log/access-log-writer.ts'

const { rings, path } = workerData as { rings: SharedArrayBuffer[]; path: string }
const pump = createAccessLogWriter({ rings, out: { path }, onDrop: () => {} })
parentPort?.on('message', () => pump.close(5_000).then((done) => parentPort?.postMessage(done)))
// Busier than it would be by itself, so that most terminations hit a write.
const busy = () => {
  pump.kick()
  setImmediate(busy)
}
busy()
