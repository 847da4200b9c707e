/** Collects the measurements of all test files and prints them as one table at the end. */
import { appendFileSync, readFileSync } from 'node:fs'

interface Figure {
  readonly what: string
  readonly value: string
  readonly goal: string
}

/** Notes one figure, with what was to be reached where there is such a thing. */
export function figure(what: string, value: string | number, goal = ''): void {
  const file = process.env.HEADGATE_E2E_FIGURES
  if (file !== undefined)
    appendFileSync(file, `${JSON.stringify({ what, value: String(value), goal } satisfies Figure)}\n`)
}

export function table(file: string): string {
  const figures = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Figure)
  const width = (of: (figure: Figure) => string) => Math.max(0, ...figures.map((one) => of(one).length))
  const columns = [width(({ what }) => what), width(({ value }) => value)] as const
  return figures
    .map(({ what, value, goal }) => `${what.padEnd(columns[0])}  ${value.padStart(columns[1])}  ${goal && `(${goal})`}`)
    .map((line) => line.trimEnd())
    .join('\n')
}

/** The value below which this share of the numbers lies. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
