import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks until the answer is there; the answer. What cannot be watched from outside is asked for often.
 * @throws {Error} says what was waited for, and the last failure, when it is not there in time
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  { seconds = 60, every = 50 }: { seconds?: number; every?: number } = {},
): Promise<T> {
  const deadline = performance.now() + seconds * 1000
  let failure = ''
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      failure = `; last: ${error instanceof Error ? error.message : String(error)}`
    }
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}${failure}`)
    await sleep(every)
  }
}
