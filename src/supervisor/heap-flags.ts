/** How V8 keeps the heaps of the threads that are started from now on. */
import { setFlagsFromString } from 'node:v8'

const HEAP_FLAGS = [
  // V8 collects a heap once it has grown by 30 % since the last collection; by default a heap may grow to four times
  // its live size, which took a worker from 40 MiB to 200.
  '--heap-growing-percent=30',
  // Idle threads collect by themselves, see `watchMemory`.
  '--expose-gc',
  // A place in the code whose objects have survived is not told to put all later ones among the old: what such an
  // object refers to would live until the next full collection, too, though its request is long over.
  '--no-allocation-site-pretenuring',
] as const

/** Before any other thread is started: see docs/decisions/0017. */
export function setHeapFlags(): void {
  for (const flag of HEAP_FLAGS) setFlagsFromString(flag)
}
