/** Resumable work: a generator that yields between its steps, so that its caller bounds the turns of the event loop. */

/** Runs all steps without a pause: for small work, and for command line tools. */
export function runSteps<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
