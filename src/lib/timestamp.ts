import type { Milliseconds } from './clock.ts'

/** RFC 3339 in whole seconds, as in the API server's metadata. */
export function timestamp(wall: Milliseconds): string {
  return `${new Date(wall).toISOString().slice(0, 19)}Z`
}

/** RFC 3339 with microseconds, as in Leases and Events. @param micros since the epoch */
export function microTimestamp(micros: number): string {
  const text = new Date(Math.floor(micros / 1_000)).toISOString()
  return `${text.slice(0, -1)}${String(Math.floor(micros) % 1_000).padStart(3, '0')}Z`
}
