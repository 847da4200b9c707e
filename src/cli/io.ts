import type { MemoryBudget } from '../lib/memory-budget.ts'
import { boundsOf, type FileBounds } from '../source/folder/bounds.ts'

/** Output of a command, and what it knows of this machine; injected for tests. */
export interface CommandIo {
  /** Standard output: the result. */
  out(text: string): void
  /** Standard error: errors and warnings. */
  err(text: string): void
  /** The memory that a gateway would have here with this file of settings; absent: plenty. */
  budget?(settings: string | undefined): Promise<Pick<MemoryBudget, 'file' | 'files' | 'filesHeld'>>
}

/** What files may take, as in that gateway. */
export async function fileBounds(io: CommandIo, settings: string | undefined): Promise<FileBounds | undefined> {
  const budget = await io.budget?.(settings)
  return budget && boundsOf(budget)
}
