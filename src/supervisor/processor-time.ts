import { readdirSync, readFileSync } from 'node:fs'
import type { ProcessorTime } from './hang-watch.ts'

/**
 * Processor time of a thread of this process, by the name it was started with (proc(5): `comm`, `schedstat`).
 * Linux keeps 15 characters of a name.
 *
 * @returns undefined where the system does not tell
 */
export function processorTimeOf(name: string): ProcessorTime | undefined {
  try {
    for (const task of readdirSync('/proc/self/task')) {
      if (readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trimEnd() !== name.slice(0, 15)) continue
      const [running, waiting] = readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ', 2).map(Number)
      if (running === undefined || waiting === undefined) return undefined
      return { running: running / 1e6, waiting: waiting / 1e6 }
    }
  } catch {
    // No procfs, or the thread went away while we looked.
  }
  return undefined
}
