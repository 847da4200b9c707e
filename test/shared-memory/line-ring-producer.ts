/** Writes numbered lines of all lengths into a ring until it is terminated. */
import { workerData } from 'node:worker_threads'
import { LineWriter } from '../../src/shared-memory/line-ring.ts'

/** Cells of `counts`: writes begun, writes that returned. */
const { ring, counts, life } = workerData as { ring: SharedArrayBuffer; counts: SharedArrayBuffer; life: number }
const writer = new LineWriter(ring)
const cells = new Int32Array(counts)

for (let n = 0; ; n++) {
  const wide = n % 3 === 0
  const text = (wide ? 'ü漢😀' : 'abcd').repeat((n * 7_919) % 41)
  const line = JSON.stringify({ life, n, text, length: text.length })
  Atomics.add(cells, 0, 1)
  if (wide) writer.write(line)
  else writer.writeAscii(line)
  Atomics.add(cells, 1, 1)
}
