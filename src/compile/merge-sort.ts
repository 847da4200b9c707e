/** Merge sort in time slices: one host may have a hundred thousand matches, too many for one turn. */
import type { WorkBudget } from './work-budget.ts'

const RUN = 256

/** Sorts `items` and takes ownership of it. */
export function* sorted<T>(items: T[], compare: (a: T, b: T) => number, budget: WorkBudget): Generator<void, T[]> {
  let runs: T[][] = []
  if (items.length <= RUN) runs.push(items.sort(compare))
  else
    for (let i = 0; i < items.length; i += RUN) {
      runs.push(items.slice(i, i + RUN).sort(compare))
      if (budget.spend(RUN)) yield
    }
  while (runs.length > 1) {
    const wider: T[][] = []
    for (let i = 0; i < runs.length; i += 2) {
      const second = runs[i + 1]
      wider.push(second === undefined ? runs[i]! : yield* merged(runs[i]!, second, compare, budget))
    }
    runs = wider
  }
  return runs[0] ?? []
}

/** Merges two sorted lists. */
export function* merged<T>(
  a: readonly T[],
  b: readonly T[],
  compare: (a: T, b: T) => number,
  budget: WorkBudget,
): Generator<void, T[]> {
  if (a.length === 0) return b as T[]
  if (b.length === 0) return a as T[]
  const all: T[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    all.push(compare(a[i]!, b[j]!) <= 0 ? a[i++]! : b[j++]!)
    if ((all.length & 63) === 0 && budget.spend(8)) yield
  }
  while (i < a.length) all.push(a[i++]!)
  while (j < b.length) all.push(b[j++]!)
  return all
}
