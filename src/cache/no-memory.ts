/** Where there is no memory for responses: nothing is found, and nothing is stored. */
import type { ResponseMemory } from './response-memory.ts'

export const NO_MEMORY: ResponseMemory = Object.freeze({
  maxBodyBytes: 0,
  find: () => null,
  findAt: () => null,
  leave() {},
  begin: () => 'none' as const,
  remove() {},
  sweep() {},
})
