import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Polls until a condition holds, and returns its result.
 * @throws {Error} with the description of the condition and the last failure, after the timeout
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
