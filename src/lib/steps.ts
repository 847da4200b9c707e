/** Work that is cut into parts by `yield`, so that whoever drives it decides how long a turn of the loop is. */

/** Runs all parts in one go: for small work, and for tools that nobody waits for. */
export function runSteps<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
