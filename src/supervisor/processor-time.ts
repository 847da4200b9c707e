import { readdirSync, readFileSync } from 'node:fs'
import type { Milliseconds } from '../lib/clock.ts'

/**
 * How long a thread of this process was ready to run and was not given a processor, since it began, by the name it was
 * started with (proc(5): `comm`, of which Linux keeps 15 characters, and `schedstat`).
 *
 * @returns undefined where the system does not tell
 */
export function waitedForProcessor(name: string): Milliseconds | undefined {
  try {
    for (const task of readdirSync('/proc/self/task')) {
      if (readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trimEnd() !== name.slice(0, 15)) continue
      const nanoseconds = Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ', 2)[1])
      return Number.isNaN(nanoseconds) ? undefined : nanoseconds / 1e6
    }
  } catch {
    // No procfs, or the thread went away while we looked.
  }
  return undefined
}
