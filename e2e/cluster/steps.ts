/** Prints each step and its duration. */
export async function step<T>(name: string, budgetSeconds: number, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const line = (end: string) => {
    const seconds = (performance.now() - started) / 1000
    const over = seconds > budgetSeconds ? `, expected ${budgetSeconds} s at most` : ''
    console.log(`${name.padEnd(58, ' ')} ${end} ${seconds.toFixed(1).padStart(6)} s${over}`)
  }
  try {
    const result = await work()
    line('done  ')
    return result
  } catch (error) {
    line('FAILED')
    throw error
  }
}
