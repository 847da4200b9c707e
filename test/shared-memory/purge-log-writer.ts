/** A thread that appends numbered records as fast as it can: `[writer, number]`, and each of its words again. */
import { workerData } from 'node:worker_threads'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'

const { buffer, writers, writer, records } = workerData as {
  buffer: SharedArrayBuffer
  writers: number
  writer: number
  records: number
}
const log = new PurgeLog(buffer, writers)
for (let number = 1; number <= records; number++) {
  const words = new Int32Array(2 + 2 * (number % 7))
  for (let i = 0; i < words.length; i++) words[i] = i % 2 === 0 ? writer : number
  log.append(writer, new Uint8Array(words.buffer))
}
