/** Clock and alarms together, so that everything that waits can be tested without waiting. */
import type { Clock, Milliseconds } from '../../lib/clock.ts'

export interface Timekeeper extends Clock {
  /** Rings once. @returns takes the alarm back; may be called at any time, also afterwards */
  after(delay: Milliseconds, ring: () => void): () => void
}

/** Alarms do not keep the process alive. */
export const systemTime: Timekeeper = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after(delay, ring) {
    const timer = setTimeout(ring, Math.max(0, delay)).unref()
    return () => clearTimeout(timer)
  },
}

/** RFC 3339 in whole seconds, as the API server writes times. */
export function timestamp(wall: Milliseconds): string {
  return `${new Date(wall).toISOString().slice(0, 19)}Z`
}

/** RFC 3339 with microseconds, as Leases and Events have it. @param micros since the epoch */
export function microTimestamp(micros: number): string {
  const text = new Date(Math.floor(micros / 1_000)).toISOString()
  return `${text.slice(0, -1)}${String(Math.floor(micros) % 1_000).padStart(3, '0')}Z`
}
