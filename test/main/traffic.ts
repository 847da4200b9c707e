/** Steady traffic on fresh connections, so that each request is dealt out anew; what failed, and when. */
import { setTimeout as delay } from 'node:timers/promises'
import { request } from '../feature/raw-client.ts'

export interface Traffic {
  /** Answered 200. */
  readonly served: number
  /** Moments (performance.now) at which requests that failed were begun, and why. */
  readonly failures: readonly { readonly at: number; readonly why: string }[]
  /** Resolves after so many more were served. */
  more(count: number): Promise<void>
  stop(): Promise<void>
}

const AT_ONCE = 4
const PAUSE_MS = 5
/** A request that is begun on a hung worker is given up after this. */
const WITHIN_MS = 2_000
const MOST_FAILURES = 2_000

export function traffic(port: number, host: string, path = '/'): Traffic {
  const failures: { at: number; why: string }[] = []
  let served = 0
  let stopped = false
  const one = async (): Promise<void> => {
    while (!stopped) {
      const at = performance.now()
      const aborted = new AbortController()
      try {
        const answer = await Promise.race([
          request(port, { path, host, headers: { connection: 'close' } }),
          delay(WITHIN_MS, undefined, { signal: aborted.signal }),
        ])
        if (answer?.status === 200) served++
        else failures.push({ at, why: answer === undefined ? 'no answer' : `status ${answer.status}` })
      } catch (error) {
        failures.push({ at, why: String(error) })
      } finally {
        aborted.abort()
      }
      // A gateway that is gone, of a test that failed: nobody will stop this.
      if (failures.length >= MOST_FAILURES) stopped = true
      await delay(PAUSE_MS)
    }
  }
  const loops = Array.from({ length: AT_ONCE }, one)
  return {
    get served() {
      return served
    },
    failures,
    async more(count) {
      const goal = served + count
      while (served < goal) {
        if (stopped) throw new Error(`only ${served} of ${goal} were served: ${failures.at(-1)?.why}`)
        await delay(PAUSE_MS)
      }
    },
    async stop() {
      stopped = true
      await Promise.all(loops)
    },
  }
}
