/** How long threads of this process lack a CPU, by what Linux says of them (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs'
import type { Milliseconds } from '../lib/clock.ts'

/** `comm` has as many characters. */
const MAX_NAME = 15
/** Of the threads that are watched; the others are helpers of them. */
const WATCHED = /^hg-/
/** That a thread may sleep for helpers which lack a CPU; beyond that it waits for something else. */
const MAX_SLEEP: Milliseconds = 2_000

interface TaskTimes {
  readonly name: string
  /** It runs, or would if it had a CPU. */
  readonly runnable: boolean
  readonly ran: Milliseconds
  /** Up to when it last got a CPU: what it waits for now is not in it yet. */
  readonly waited: Milliseconds
}

export interface CpuWaitLook {
  /** Monotonic. */
  readonly at: Milliseconds
  /** In all, until then. */
  readonly waited: Milliseconds
}

/**
 * Of one thread. `schedstat` has a wait only once it is over, so a thread that is runnable and has not run lacked a CPU
 * for as long as it did not run. One that sleeps may do so for a helper that lacks a CPU, as of the garbage collector:
 * then that counts, for a while.
 */
export class CpuWait {
  readonly #name: string
  readonly #monotonic: () => Milliseconds
  #before = new Map<string, TaskTimes>()
  #at: Milliseconds = 0
  #total: Milliseconds = 0
  /** For helpers, since it was last seen to be runnable. */
  #slept: Milliseconds = 0

  /** @param name of the thread */
  constructor(name: string, monotonic: () => Milliseconds) {
    this.#name = name.slice(0, MAX_NAME)
    this.#monotonic = monotonic
  }

  /**
   * A sum, of which only the difference between two calls means something; exact as far as these are near each other.
   * The looks themselves may lack a CPU, so the time that passed between two of them is that of their results.
   *
   * @returns undefined where the system does not report it
   */
  look(): CpuWaitLook | undefined {
    const tasks = tasksOfProcess()
    const now = this.#monotonic()
    const elapsed = now - this.#at
    const before = this.#before
    this.#before = tasks
    this.#at = now
    const own = [...tasks].find(([, { name }]) => name === this.#name)
    if (own === undefined) return undefined
    const lacked = (id: string, { runnable, ran, waited }: TaskTimes): Milliseconds => {
      const last = before.get(id)
      if (last === undefined) return 0
      return Math.max(0, runnable ? elapsed - (ran - last.ran) : Math.min(elapsed, waited - last.waited))
    }
    this.#total += lacked(...own)
    if (own[1].runnable) this.#slept = 0
    else this.#sleeps(Math.max(0, ...[...tasks].map((task) => (WATCHED.test(task[1].name) ? 0 : lacked(...task)))))
    return { at: now, waited: this.#total }
  }

  #sleeps(helpersLacked: Milliseconds): void {
    const counts = Math.min(helpersLacked, MAX_SLEEP - this.#slept)
    this.#slept += counts
    this.#total += counts
  }
}

/** By id. */
function tasksOfProcess(): Map<string, TaskTimes> {
  const tasks = new Map<string, TaskTimes>()
  let ids: string[] = []
  try {
    ids = readdirSync('/proc/self/task')
  } catch {
    // No procfs.
  }
  for (const id of ids)
    try {
      // `id (name) state …`; a name may have parentheses.
      const stat = readFileSync(`/proc/self/task/${id}/stat`, 'latin1')
      const end = stat.lastIndexOf(')')
      const [ran, waited] = readFileSync(`/proc/self/task/${id}/schedstat`, 'latin1').split(' ', 2).map(Number)
      if (!Number.isFinite(ran) || !Number.isFinite(waited)) continue
      const name = stat.slice(stat.indexOf('(') + 1, end)
      tasks.set(id, { name, runnable: stat[end + 2] === 'R', ran: ran! / 1e6, waited: waited! / 1e6 })
    } catch {
      // It ended in the meantime.
    }
  return tasks
}
