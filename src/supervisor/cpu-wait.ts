import { readdirSync, readFileSync } from 'node:fs'
import type { Milliseconds } from '../lib/clock.ts'

/**
 * Reads how long a thread of this process, found by its name, has been ready to run without a CPU since its start
 * (proc(5): `comm`, of which Linux keeps 15 characters, and `schedstat`).
 *
 * @returns undefined where the system does not report it
 */
export function cpuWaitTime(name: string): Milliseconds | undefined {
  try {
    for (const task of readdirSync('/proc/self/task')) {
      if (readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trimEnd() !== name.slice(0, 15)) continue
      const nanoseconds = Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ', 2)[1])
      return Number.isNaN(nanoseconds) ? undefined : nanoseconds / 1e6
    }
  } catch {
    // No procfs, or the thread ended in the meantime.
  }
  return undefined
}
